// The stages of an exploration while it runs, then its behaviours.
const STATES = { waiting: 'waiting', running: 'running', done: 'done' };
const stages = make('ol', 'mx-stages');
const sentence = make('p', 'mx-sentence');
const facts = make('p', 'mx-quiet');
const next = make('div', 'mx-attempts');
const tried = make('details', 'mx-tried');
const cards = make('div', 'mx-completions mx-behaviours');
const tables = make('div', 'mx-answers');
const empty = make('p', 'mx-empty');
root.append(stages, sentence, facts, next, tried, cards, tables, empty);

function button(text, title, data) {
  const node = make('button', 'mx-link', text);
  node.type = 'button';
  node.title = title;
  Object.assign(node.dataset, data);
  return node;
}

function stage(one) {
  const node = make('li', 'mx-stage');
  node.dataset.state = one.state;
  const bar = make('progress', 'mx-progress-bar');
  bar.max = 1;
  bar.value = one.fraction || 0;
  bar.setAttribute('aria-label', one.name);
  const detail = make('span', 'mx-stage-detail', one.detail || (one.state === 'waiting' ? 'waiting' : ''));
  detail.title = one.detail || '';
  node.append(make('span', 'mx-stage-mark', { waiting: '○', running: '◐', done: '●' }[one.state]));
  node.append(make('span', 'mx-stage-name', one.name));
  if (one.state === 'running') node.append(bar);
  node.append(detail, make('span', 'mx-hidden', STATES[one.state]));
  return node;
}

function label(one) {
  return button(one.name ? `${one.vector} · ${one.name}` : String(one.vector), `Label vector ${one.vector}`, { vector: one.vector });
}

function labels(vectors) {
  const row = make('span', 'mx-behaviour-vectors', 'label');
  row.append(...vectors.map(label));
  return row;
}

function flags(raised) {
  const row = make('div', 'mx-flags');
  row.append(...raised.map((flag) => {
    const shown = make('span', 'mx-flag', flag.text);
    shown.title = flag.title;
    return shown;
  }));
  return row;
}

function text(said) {
  const node = make('div', 'mx-completion-text', said);
  node.dir = 'auto';
  return node;
}

function marked(pieces) {
  const node = text();
  node.append(...pieces.map(([said, changed]) => (changed ? make('mark', '', said) : said)));
  return node;
}

// Vectors travel as text in the button's data.
function steps(vectors) {
  const those = vectors.join(' ');
  return [
    button('use this', 'Choose these vectors and their R', { use: those }),
    button('open in Read', 'Show all texts, with these vectors chosen', { open: those }),
  ];
}

function card(one) {
  const node = make('article', `mx-completion mx-behaviour ${one.unsteered || one.often ? 'mx-kind-baseline' : 'mx-kind-vector'}`);
  const head = make('div', 'mx-completion-head');
  const name = make('h3', 'mx-behaviour-name', one.name);
  name.dir = 'auto';
  head.append(name);
  if (one.verdict) {
    const verdict = make('span', 'mx-scores');
    verdict.append(make('span', `mx-score mx-score-${one.verdict}`, one.verdict));
    head.append(verdict);
  }
  const foot = make('div', 'mx-completion-foot');
  foot.append(labels(one.vectors), ...steps(one.vectors.map((vector) => vector.vector)));
  node.append(head, make('div', 'mx-behaviour-meta', `${one.meta} · ${one.said}:`), flags(one.flags));
  node.append(text(one.text), foot);
  return node;
}

function cell(tag, name, ...content) {
  const node = make(tag, `mx-answer-${name}`);
  node.append(...content);
  return node;
}

function answer(one, labelled) {
  const node = make('tr', 'mx-answer');
  const number = cell('th', 'vector', labelled ? label(one) : String(one.vector));
  number.scope = 'row';
  const verdict = one.verdict ? make('span', `mx-score mx-score-${one.verdict}`, one.verdict) : '–';
  const put = make('div', 'mx-behaviour-meta', one.put);
  put.dir = 'auto';
  if (one.changed) node.dataset.changed = '';
  const change = make('div', 'mx-answer-change', one.change);
  node.append(number, cell('td', 'distance', one.distance), cell('td', 'text', marked(one.pieces)));
  node.append(cell('td', 'put', verdict, flags(one.flags), change, put, ...(labelled ? steps([one.vector]) : [])));
  return node;
}

function answers(one) {
  const section = make('section', 'mx-answers-part');
  const table = make('table', 'mx-answer-table');
  table.append(make('caption', 'mx-group-title', one.title));
  const head = make('tr');
  for (const [name, shown] of [['vector', 'Vector'], ['distance', 'Distance'], ['text', 'Answer'], ['put', 'Verdict, what changed, behaviour']]) {
    const column = cell('th', name, shown);
    column.scope = 'col';
    head.append(column);
  }
  const top = make('thead');
  top.append(head);
  const body = make('tbody');
  body.append(...one.rows.map((row) => answer(row, one.labels)));
  table.append(top, body);
  section.append(table);
  return section;
}

function look(one) {
  const node = make('div', 'mx-tried-line', `${one.chosen ? '● chosen: ' : '○ '}${one.text}`);
  if (one.example) node.append(text(one.example));
  return node;
}

function draw(value) {
  stages.replaceChildren(...(value.stages || []).map(stage));
  sentence.textContent = value.sentence || '';
  facts.textContent = value.facts || '';
  empty.textContent = value.message || '';
  const ways = value.attempts || [];
  next.hidden = !ways.length;
  next.replaceChildren(make('span', 'mx-attempts-title', 'Try next:'), ...ways.map((words, at) => {
    const node = button(words, 'Fill in the settings with this', { attempt: at });
    node.className = 'mx-button';
    return node;
  }));
  const looks = value.tried || [];
  tried.hidden = !looks.length;
  tried.replaceChildren(make('summary', 'mx-quiet', `Settings tried by the search (${looks.length})`), ...looks.map(look));
  const found = (value.cards || []).map((one) => card(one));
  if (value.sentence && !(value.cards || []).some((one) => one.unsteered)) {
    const plain = make('article', 'mx-completion mx-kind-baseline');
    const head = make('div', 'mx-completion-head');
    head.append(make('h3', 'mx-behaviour-name', 'without steering'));
    plain.append(head, make('div', 'mx-behaviour-meta', 'every vector changes it:'));
    plain.append(text(value.baseline));
    found.push(plain);
  }
  cards.replaceChildren(...found);
  tables.replaceChildren(...(value.tables || []).map(answers));
}

root.addEventListener('click', (event) => {
  const { vector, open, use, attempt } = event.target.dataset;
  const { bank, bank_hash: hash } = props.value;
  const those = (words) => ({ vectors: words.split(' ').map(Number) });
  if (vector !== undefined) trigger('annotate', { bank, bank_hash: hash, vector: Number(vector) });
  if (open !== undefined) trigger('open', those(open));
  if (use !== undefined) trigger('use', those(use));
  if (attempt !== undefined) trigger('attempt', { at: Number(attempt) });
});
show(draw);
