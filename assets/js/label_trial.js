// A person tests a label: one text after the other, 1 to 5 say how well it fits, Backspace goes back one text.
const ANSWERS = ['not at all', 'hardly', 'cannot tell', 'rather', 'fits'];
const count = make('p', 'mx-quiet');
count.setAttribute('role', 'status');
const name = auto('p', 'mx-trial-name');
const asked = auto('p', 'mx-trial-prompt mx-quiet');
const card = make('article', 'mx-completion');
const text = auto('div', 'mx-completion-text mx-blind-text');
card.append(text);
const row = make('div', 'mx-blind-choices');
const back = button('mx-blind-choice', '← back', () => goBack());
back.dataset.action = 'back';
row.append(...ANSWERS.map((words, at) => {
  const node = button('mx-blind-choice', `${at + 1}  ${words}`, () => answer(at + 1));
  node.dataset.fits = at + 1;
  return node;
}), back);
const result = make('p', 'mx-trial-result');
result.setAttribute('role', 'status');
const both = make('div', 'mx-blind-texts');
const message = make('p', 'mx-empty');
root.append(name, asked, count, card, row, result, both, message);
let texts = [];
let fits = [];

function button(cls, words, press) {
  const node = make('button', cls, words);
  node.type = 'button';
  node.addEventListener('click', press);
  return node;
}

function draw() {
  const reading = fits.length < texts.length;
  card.hidden = row.hidden = !reading;
  back.disabled = !fits.length;
  text.textContent = reading ? texts[fits.length] : '';
  count.textContent = reading ? `Text ${fits.length + 1} of ${texts.length}` : texts.length ? 'One moment …' : '';
}

function answer(fit) {
  if (fits.length >= texts.length) return;
  fits.push(fit);
  draw();
  if (fits.length === texts.length) trigger('done', { fits });
}

function goBack() {
  if (fits.length >= texts.length) return;
  fits.pop();
  draw();
}

document.addEventListener('keydown', function keys(event) {
  if (!element.isConnected) return document.removeEventListener('keydown', keys);
  const writing = event.target.matches?.('input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]');
  if (row.offsetParent === null || writing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (/^[1-5]$/.test(event.key)) answer(Number(event.key));
  else if (event.key === 'Backspace') goBack();
  else return;
  event.preventDefault();
});

// The texts of one kind, those that were said to fit best first.
function group(title, some) {
  const part = make('section', 'mx-trial-group');
  part.append(make('h3', 'mx-completion-title', title), ...[...some].sort((one, other) => other.fits - one.fits).map((one) => {
    const shown = make('article', 'mx-completion');
    const head = make('div', 'mx-completion-head');
    head.append(make('span', 'mx-quiet', `${one.fits}: ${ANSWERS[one.fits - 1]}`));
    shown.append(head, auto('div', 'mx-completion-text mx-blind-text', one.text));
    return shown;
  }));
  return part;
}

show(({ name: label = '', prompt = '', texts: given = [], result: words = '', opened = [], message: said = '' }) => {
  texts = given;
  fits = [];
  name.textContent = label ? `“${label}”` : '';
  asked.textContent = prompt ? `Prompt: ${prompt}` : '';
  result.textContent = words;
  both.replaceChildren(...(opened.length ? [
    group('Under the vector', opened.filter((one) => one.steered)),
    group('Under random vectors', opened.filter((one) => !one.steered)),
  ] : []));
  message.textContent = said;
  draw();
});
