// Pairs of vectors that are probably the same: those whose effects point the same way, above a threshold.
const MOST = 50;
const head = make('div', 'mx-pairs-head');
const title = make('h3', 'mx-group-title', 'Probably the same');
const label = make('label', 'mx-pairs-threshold', 'δ cosine at least ');
const range = make('input');
Object.assign(range, { type: 'range', min: '0.3', max: '1', step: '0.01', value: '0.8', id: 'similarity-threshold' });
const shown = make('output', 'mx-pairs-number');
label.append(range, shown);
head.append(title, label);
const list = make('div', 'mx-pairs');
const rest = make('p', 'mx-quiet');
root.append(head, list, rest);
let merging = null; // the pair whose name is being written

function button(text, action, title) {
  const node = make('button', 'mx-link', text);
  node.type = 'button';
  node.dataset.action = action;
  node.title = title;
  return node;
}

function cosine(value) { return value === null || value === undefined ? '–' : value.toFixed(2).replace('-', '−'); }
function who(vector) { const name = props.value.names?.[vector]; return name ? `${vector} · ${name}` : `vector ${vector}`; }
function key(pair) { return `${pair.one}/${pair.other}`; }

function row(pair) {
  const node = make('div', 'mx-pair');
  node.dataset.key = key(pair);
  const names = make('span', 'mx-pair-names');
  for (const vector of [pair.one, pair.other]) {
    const name = make('span', 'mx-pair-name', who(vector));
    name.dir = 'auto';
    names.append(name);
  }
  const numbers = make('span', 'mx-pair-numbers', `δ ${cosine(pair.delta)} · θ ${cosine(pair.theta)} · texts ${cosine(pair.texts)}`);
  const buttons = make('span', 'mx-pair-buttons');
  buttons.append(
    button('read both', 'look', 'Show the texts of both side by side'),
    pair.same
      ? button('undo “the same”', 'undo', 'Take the tags out of both labels')
      : button('mark as the same', 'mark', `Tags both labels: “same as ${pair.other}” and “same as ${pair.one}”`),
    button('merge …', 'ask', 'Save a new bank with their mean, rescaled, in the place of both'),
  );
  node.append(names, numbers, buttons);
  if (merging === key(pair)) node.append(form(pair));
  return node;
}

function form(pair) {
  const node = make('form', 'mx-pair-form');
  const name = make('input', 'mx-pair-new');
  name.value = pair.proposed;
  name.setAttribute('aria-label', 'Name of the new bank');
  const go = make('button', 'mx-link', 'Merge');
  go.type = 'submit';
  node.append('New bank: ', name, go, button('cancel', 'cancel', 'Merge nothing'));
  node.addEventListener('submit', (event) => {
    event.preventDefault();
    merging = null;
    trigger('merge', { one: pair.one, other: pair.other, name: name.value });
    draw(props.value);
  });
  return node;
}

function draw(value) {
  const least = Number(range.value);
  shown.textContent = least.toFixed(2);
  const pairs = (value.pairs || []).filter((pair) => pair.delta >= least);
  head.hidden = !value.pairs;
  list.replaceChildren(...pairs.slice(0, MOST).map(row));
  const none = value.pairs && !pairs.length ? 'No pair of vectors is so similar.' : '';
  rest.textContent = pairs.length > MOST ? `and ${pairs.length - MOST} more` : none;
}

range.addEventListener('input', () => draw(props.value));
list.addEventListener('click', (event) => {
  const { action } = event.target.dataset;
  const pair = (props.value.pairs || []).find((one) => key(one) === event.target.closest('.mx-pair')?.dataset.key);
  if (!action || !pair) return;
  const { one, other } = pair;
  if (action === 'ask' || action === 'cancel') {
    merging = action === 'ask' ? key(pair) : null;
    draw(props.value);
    list.querySelector('.mx-pair-new')?.select();
    return;
  }
  if (action === 'look') {
    const bank = window.melbo?.state.bank;
    if (!bank || bank === props.value.bank) window.melbo?.select({ vectors: [one, other] }, element);
    trigger('look', { one, other });
  } else trigger('mark', { one, other, same: action === 'mark' });
});
show(draw);
