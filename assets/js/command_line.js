// A command line, and a button that copies it.
const words = make('p', 'mx-quiet');
const line = make('div', 'mx-command');
const code = make('code', '');
code.tabIndex = 0; // it scrolls
const copy = make('button', 'mx-link', 'copy');
copy.type = 'button';
copy.addEventListener('click', async () => {
  await navigator.clipboard.writeText(code.textContent);
  copy.textContent = 'copied';
  setTimeout(() => { copy.textContent = 'copy'; }, 1500);
});
line.append(code, copy);
root.append(words, line);
show(({ command, note }) => {
  root.hidden = !command;
  words.textContent = note || '';
  code.textContent = command || '';
});
