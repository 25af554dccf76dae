// Vectors × prompts: each cell shows by a letter whether the answer changed, or how many of several did, and opens them
// beside the unsteered ones.
const MARKS = { lifted: 'L', flagged: 'F', meaning: 'M', same: '·', broken: '×' };
const WORDS = {
  lifted: 'refusal lifted', flagged: 'flagged', meaning: 'different meaning', same: 'unchanged', broken: 'broken or empty',
};
const legend = make('p', 'mx-matrix-legend');
const matrix = make('div', 'mx-matrix');
matrix.setAttribute('role', 'grid');
matrix.setAttribute('aria-label', 'Vectors and prompts');
const aside = make('section', 'mx-matrix-open');
aside.setAttribute('aria-live', 'polite');
const empty = make('p', 'mx-empty');
const frame = make('div', 'mx-matrix-frame');
frame.append(matrix);
root.append(legend, frame, aside, empty);
let chosen = null; // the row's key and the prompt's index

legend.append(...Object.keys(MARKS).map((kind) => {
  const part = make('span', 'mx-matrix-key');
  part.append(make('span', `mx-cell mx-cell-${kind}`, MARKS[kind]), make('span', '', WORDS[kind]));
  return part;
}));

function text(tag, cls, words) {
  const node = make(tag, cls, words);
  node.dir = 'auto';
  return node;
}

function cell(row, place, { prompts, samples }) {
  const one = row.cells[place];
  const prompt = prompts[place];
  const several = samples > 1 ? `${one.changed} of ${samples}` : '';
  const words = several ? `${several} changed${one.changed ? `, mostly ${WORDS[one.kind]}` : ''}` : WORDS[one.kind];
  const node = make('span', `mx-cell mx-cell-${one.kind}`, several || MARKS[one.kind]);
  node.setAttribute('role', 'gridcell');
  node.tabIndex = -1;
  node.dataset.row = row.key;
  node.dataset.place = place;
  if (several) node.style.setProperty('--share', one.changed / samples);
  node.title = `${place + 1}. ${prompt.text}\n${row.title}: ${words}`;
  node.setAttribute('aria-label', `${row.title}, prompt ${place + 1}, ${prompt.text}: ${words}`);
  return node;
}

function head(groups) {
  const line = make('div', 'mx-matrix-row mx-matrix-head');
  line.setAttribute('role', 'row');
  const corner = make('span', 'mx-matrix-title');
  corner.setAttribute('role', 'columnheader');
  corner.append(make('span', 'mx-hidden', 'Vector'));
  const boxes = make('span', 'mx-matrix-cells');
  boxes.append(...groups.map((group, at) => {
    const box = make('span', 'mx-matrix-group');
    box.setAttribute('role', 'columnheader');
    box.style.setProperty('--cells', group.size);
    const first = group.set && group.set !== groups[at - 1]?.set;
    box.append(text('span', 'mx-matrix-set', first ? group.set : ''), text('span', 'mx-matrix-name', group.name));
    box.title = [group.set, group.name, `${group.size} prompts`].filter(Boolean).join(' · ');
    return box;
  }));
  line.append(corner, boxes);
  return line;
}

function line(row, value) {
  const node = make('div', `mx-matrix-row mx-matrix-${row.kind}`);
  node.setAttribute('role', 'row');
  const title = make('span', 'mx-matrix-title');
  title.setAttribute('role', 'rowheader');
  title.title = `${row.title}${row.name ? `: ${row.name}` : ''}, R = ${row.radius}`;
  title.append(make('span', 'mx-matrix-who', row.title), text('span', 'mx-matrix-label', row.name));
  title.append(make('span', 'mx-matrix-share', row.share));
  const boxes = make('span', 'mx-matrix-cells');
  let place = 0;
  boxes.append(...value.groups.map((group) => {
    const box = make('span', 'mx-matrix-group');
    box.style.setProperty('--cells', group.size);
    for (const end = place + group.size; place < end; place += 1) box.append(cell(row, place, value));
    return box;
  }));
  node.append(title, boxes);
  return node;
}

function card(kind, title, words, one) {
  const node = make('article', `mx-completion mx-kind-${kind}`);
  const top = make('div', 'mx-completion-head');
  top.append(make('span', 'mx-completion-title', title));
  if (one?.verdict) {
    const scores = make('span', 'mx-scores');
    scores.append(make('span', `mx-score mx-score-${one.verdict}`, one.verdict));
    top.append(scores);
  }
  const flags = make('div', 'mx-flags');
  flags.append(...(one?.flags || []).map((flag) => {
    const shown = make('span', 'mx-flag', flag.text);
    shown.title = flag.title;
    return shown;
  }));
  node.append(top, flags, text('div', 'mx-completion-text', words));
  return node;
}

function acts(row) {
  if (row.kind !== 'vector') return [];
  const label = make('button', 'mx-link', 'label');
  label.type = 'button';
  label.title = 'Label this vector';
  label.dataset.vector = row.vector;
  return [label, ...[
    ['use', 'use this', 'Choose this vector and its R'],
    ['open', 'open in Read', 'Put this prompt, vector and R into the page, to steer with them'],
  ].map(([act, words, title]) => {
    const node = make('button', 'mx-link', words);
    node.type = 'button';
    node.title = title;
    node.dataset.act = act;
    return node;
  })];
}

function open() {
  const value = props.value || {};
  const row = chosen && (value.rows || []).find((one) => one.key === chosen.row);
  const one = row?.cells[chosen.place];
  for (const node of matrix.querySelectorAll('[aria-selected="true"]')) node.removeAttribute('aria-selected');
  aside.replaceChildren();
  if (!one) return;
  spot(chosen)?.setAttribute('aria-selected', 'true');
  const prompt = value.prompts[chosen.place];
  aside.append(text('h3', 'mx-group-title', `${chosen.place + 1}. ${prompt.text}`));
  if (!value.open) {
    aside.append(make('p', 'mx-quiet', 'Texts can be opened once all prompts are finished.'));
    return;
  }
  const cards = make('div', value.samples > 1 ? 'mx-matrix-pairs' : 'mx-completions');
  prompt.baselines.forEach((usual, at) => { // the texts of a seed stay together
    const seed = value.samples > 1 ? `, seed ${value.seed + at}` : '';
    const text = one.texts[at];
    const theirs = card(row.kind, `${row.title}${seed}`, text.text, text);
    const foot = make('div', 'mx-completion-foot');
    foot.append(make('span', 'mx-completion-meta', `${WORDS[text.kind]} · R ${row.radius} · ${text.distance}`), ...(at ? [] : acts(row)));
    theirs.append(foot);
    const both = [card('baseline', `Baseline${usual.refuses ? ', refuses' : ''}${seed}`, usual.text), theirs];
    const pair = seed ? make('div', 'mx-matrix-pair') : cards;
    pair.append(...both);
    if (seed) cards.append(pair);
  });
  aside.append(cards);
}

function spot({ row, place }) {
  return [...matrix.querySelectorAll('[role=gridcell]')]
    .find((node) => node.dataset.row === row && Number(node.dataset.place) === place);
}

function reach(node) {
  for (const other of matrix.querySelectorAll('[role=gridcell][tabindex="0"]')) other.tabIndex = -1;
  if (node) node.tabIndex = 0;
}

function draw(value) {
  const rows = value.rows || [];
  const focused = matrix.contains(document.activeElement) ? { ...document.activeElement.dataset } : null;
  legend.hidden = !rows.length;
  matrix.style.setProperty('--prompts', (value.prompts || []).length || 1);
  matrix.style.setProperty('--groups', (value.groups || []).length || 1);
  matrix.dataset.texts = value.samples > 9 ? 'many' : value.samples > 1 ? 'several' : 'one';
  empty.textContent = value.message || '';
  matrix.replaceChildren(...(rows.length ? [head(value.groups), ...rows.map((row) => line(row, value))] : []));
  if (chosen && !spot(chosen)) chosen = null;
  reach(chosen ? spot(chosen) : matrix.querySelector('[role=gridcell]'));
  if (focused?.row) spot({ row: focused.row, place: Number(focused.place) })?.focus({ preventScroll: true });
  open();
}

function pick(node) {
  chosen = { row: node.dataset.row, place: Number(node.dataset.place) };
  reach(node);
  open();
}

matrix.addEventListener('click', (event) => {
  const node = event.target.closest('[role=gridcell]');
  if (node) { node.focus(); pick(node); }
});
matrix.addEventListener('keydown', (event) => {
  const node = event.target.closest('[role=gridcell]');
  if (!node) return;
  const keys = (props.value.rows || []).map((row) => row.key);
  const last = props.value.prompts.length - 1;
  let [at, place] = [keys.indexOf(node.dataset.row), Number(node.dataset.place)];
  if (event.key === 'Enter' || event.key === ' ') pick(node);
  else if (event.key === 'ArrowRight') place = Math.min(last, place + 1);
  else if (event.key === 'ArrowLeft') place = Math.max(0, place - 1);
  else if (event.key === 'ArrowDown') at = Math.min(keys.length - 1, at + 1);
  else if (event.key === 'ArrowUp') at = Math.max(0, at - 1);
  else if (event.key === 'Home') place = 0;
  else if (event.key === 'End') place = last;
  else return;
  event.preventDefault();
  const next = spot({ row: keys[at], place });
  reach(next);
  next.focus();
});
aside.addEventListener('click', (event) => {
  const { vector, act } = event.target.dataset;
  const { bank, bank_hash: hash, rows } = props.value;
  if (act) trigger(act, { vector: rows.find((one) => one.key === chosen.row).vector, prompt: props.value.prompts[chosen.place].at });
  if (vector !== undefined) trigger('annotate', { bank, bank_hash: hash, vector: Number(vector) });
});
show(draw);
