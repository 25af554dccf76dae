// Watched prompts, a line each. A line opens to the whole prompt, what its vector says, and ways to that vector.
const bar = make('div', 'mx-alarm-bar');
const counted = make('span', 'mx-alarm-count');
counted.setAttribute('role', 'status');
const list = make('ol', 'mx-alarms');
const empty = make('p', 'mx-empty', 'No prompt raises an alarm.');
root.append(bar, list, empty);
const view = { only: false, first: true };
let opened = new Set(); // the places of open lines in the order of arrival
let before = null; // the first prompt of the list that is drawn: another one closes all

function toggle(name, text, title) {
  const label = make('label', 'mx-switch');
  const box = make('input');
  box.type = 'checkbox';
  box.checked = view[name];
  box.dataset.view = name;
  label.title = title;
  label.append(box, make('span', '', text));
  return label;
}
bar.append(counted, toggle('first', 'Alarms first', 'The highest scores first; otherwise in the order of arrival'),
  toggle('only', 'Alarms only', 'Hide prompts that raise no alarm'));

function action(name, text) {
  const node = make('button', 'mx-link', text);
  node.type = 'button';
  node.dataset.action = name;
  return node;
}

function details({ text, vector, name }, says) {
  const node = make('div', 'mx-alarm-more');
  node.append(auto('p', 'mx-alarm-text', text));
  const whose = auto('p', 'mx-alarm-vector', `Vector ${vector}${name ? `, “${name}”` : ', not labelled'}`);
  node.append(whose);
  if (says) node.append(auto('p', 'mx-alarm-says', `It made the model say: ${says}`));
  const actions = make('div', 'mx-alarm-actions');
  actions.append(action('open', 'Steer this prompt with it'), action('annotate', name ? 'Open its label' : 'Label it'));
  node.append(actions);
  return node;
}

function line(row, at, { least, most, threshold, says }) {
  const item = make('li', 'mx-alarm');
  item.dataset.at = at;
  item.dataset.alarm = row.alarm;
  const head = make('button', 'mx-alarm-line');
  head.type = 'button';
  head.setAttribute('aria-expanded', opened.has(at));
  const score = make('span', 'mx-alarm-score', row.score.toFixed(2));
  const track = make('span', 'mx-alarm-track');
  const place = (value) => `${(100 * (value - least)) / (most - least)}%`;
  const fill = make('span', 'mx-alarm-fill');
  fill.style.width = place(row.score);
  const limit = make('span', 'mx-alarm-limit');
  limit.style.insetInlineStart = place(threshold);
  track.title = `score ${row.score.toFixed(2)}, threshold ${threshold.toFixed(2)}`;
  track.append(fill, limit);
  const said = make('span', 'mx-alarm-state', row.alarm ? 'alarm' : '');
  const who = auto('span', 'mx-alarm-who', `${row.vector}${row.name ? ` ${row.name}` : ''}`);
  who.title = `vector ${row.vector}${row.name ? `: ${row.name}` : ''}`;
  head.append(score, track, said, who, auto('span', 'mx-alarm-prompt', row.text.slice(0, 300).replace(/\s+/g, ' ')));
  if (row.group) head.append(make('span', 'mx-alarm-group', row.group));
  item.append(head);
  if (opened.has(at)) item.append(details(row, says?.[row.vector]));
  return item;
}

function draw(value) {
  const { rows = [], threshold, short } = value;
  if (rows[0]?.text !== before) opened = new Set();
  before = rows[0]?.text;
  const alarms = rows.filter((row) => row.alarm).length;
  bar.hidden = short || !rows.length;
  counted.textContent = rows.length ? `${alarms} alarm${alarms === 1 ? '' : 's'} among ${rows.length} prompt${rows.length === 1 ? '' : 's'}` : '';
  const order = rows.map((row, at) => at).filter((at) => short || !view.only || rows[at].alarm);
  if (view.first && !short) order.sort((one, other) => rows[other].alarm - rows[one].alarm || rows[other].score - rows[one].score);
  const scores = rows.map((row) => row.score);
  const scale = { ...value, least: Math.min(0, ...scores), most: Math.max(1.2 * threshold, ...scores) };
  const focused = list.contains(document.activeElement) ? document.activeElement.closest('.mx-alarm') : null;
  const [kept, way] = [focused?.dataset.at, document.activeElement?.dataset.action];
  const top = list.scrollTop;
  list.hidden = !order.length;
  list.replaceChildren(...order.map((at) => line(rows[at], at, scale)));
  list.scrollTop = top;
  if (kept) list.querySelector(`[data-at="${kept}"] ${way ? `[data-action="${way}"]` : '.mx-alarm-line'}`)?.focus({ preventScroll: true });
  empty.hidden = !rows.length || order.length > 0;
}

bar.addEventListener('change', ({ target }) => {
  view[target.dataset.view] = target.checked;
  draw(props.value);
});
list.addEventListener('click', ({ target }) => {
  const item = target.closest('.mx-alarm');
  if (!item) return;
  const at = Number(item.dataset.at);
  const { text, vector } = props.value.rows[at];
  const way = target.closest('[data-action]')?.dataset.action;
  if (way) return trigger(way, { text, vector, bank: props.value.bank, bank_hash: props.value.bank_hash });
  if (!target.closest('.mx-alarm-line')) return;
  if (!opened.delete(at)) opened.add(at);
  draw(props.value);
});
list.addEventListener('keydown', (event) => {
  const step = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' }[event.key];
  const next = step && event.target.closest('.mx-alarm')?.[step]?.querySelector('.mx-alarm-line');
  if (next) { event.preventDefault(); next.focus(); }
});
show(draw);
