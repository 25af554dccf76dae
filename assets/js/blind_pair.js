// Blind comparison: two texts, four answers; 1 to 4 choose outside a field.
const CHOICES = [['a', 'A is better'], ['b', 'B is better'], ['tie', 'tie'], ['bad', 'both bad']];
const count = make('p', 'mx-quiet');
count.setAttribute('role', 'status');
const asked = auto('p', 'mx-blind-prompt');
const both = make('div', 'mx-blind-texts');
const texts = ['A', 'B'].map((letter) => {
  const card = make('article', 'mx-completion');
  const head = make('div', 'mx-completion-head');
  head.append(make('span', 'mx-completion-title', letter));
  const text = auto('div', 'mx-completion-text mx-blind-text');
  card.append(head, text);
  both.append(card);
  return text;
});
const row = make('div', 'mx-blind-choices');
row.append(...CHOICES.map(([choice, words], at) => {
  const node = make('button', 'mx-blind-choice', `${at + 1}  ${words}`);
  node.type = 'button';
  node.dataset.choice = choice;
  node.addEventListener('click', () => choose(choice));
  return node;
}));
const message = make('p', 'mx-empty');
root.append(count, asked, both, row, message);
let answered = false; // until the next pair has come

function choose(choice) {
  if (answered || !props.value.prompt) return;
  answered = true;
  trigger('choose', { choice });
  setTimeout(() => { answered = false; }, 3000); // an answer that was refused can be given again
}

document.addEventListener('keydown', function keys(event) {
  if (!element.isConnected) return document.removeEventListener('keydown', keys);
  const writing = event.target.matches?.('input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]');
  if (element.offsetParent === null || writing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const at = ['1', '2', '3', '4'].indexOf(event.key);
  if (at >= 0) choose(CHOICES[at][0]);
});

show(({ prompt, a = '', b = '', done = 0, total = 0, message: words = '' }) => {
  answered = false;
  count.textContent = total ? `${done} of ${total} compared` : '';
  asked.textContent = prompt || '';
  [a, b].forEach((text, at) => { texts[at].textContent = text; });
  both.hidden = row.hidden = asked.hidden = !prompt;
  message.hidden = Boolean(prompt);
  message.textContent = words;
});
