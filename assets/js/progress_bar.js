// One line of progress: a bar, the current work and the time left. It keeps its place when nothing runs.
const line = make('div', 'mx-progress');
const bar = make('progress', 'mx-progress-bar');
bar.max = 1;
const text = make('span', 'mx-progress-text');
text.setAttribute('role', 'status');
line.append(bar, text);
root.append(line);

show((value) => {
  const fraction = value.fraction;
  line.dataset.state = value.state || 'idle';
  if (fraction === null || fraction === undefined) bar.removeAttribute('value');
  else bar.value = fraction;
  bar.style.visibility = value.state && value.state !== 'idle' ? 'visible' : 'hidden';
  text.textContent = text.title = value.text || '';
});
