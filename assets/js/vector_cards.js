// The list of a bank's vectors: what each does in a line, searchable; a click chooses or leaves a vector out.
const head = make('div', 'mx-cards-head');
const count = make('span', 'mx-quiet');
const all = make('button', 'mx-link', 'all');
const none = make('button', 'mx-link', 'none');
all.type = none.type = 'button';
all.id = 'cards-all';
none.id = 'cards-none';
head.append(count, all, none);
const ORDERS = {
  'by number': (one, other) => one.index - other.index,
  'strongest first': (one, other) => (other.objective ?? 0) - (one.objective ?? 0),
  'best rated first': (one, other) => (other.rating ?? 0) - (one.rating ?? 0),
  'by name': (one, other) => (one.name || '\uffff').localeCompare(other.name || '\uffff'),
};
const KINDS = {
  'all vectors': () => true,
  chosen: (one, chosen) => chosen.has(one.index),
  labelled: (one) => one.name,
  'not labelled': (one) => !one.name,
  'readable text': (one) => one.text?.verdict === 'readable',
  runaways: (one) => one.runaway.length,
  'same text as another': (one) => one.text && one.text.same !== null,
};
const find = make('input', 'mx-cards-find');
find.type = 'search';
find.placeholder = 'Find a name, tag or text';
find.setAttribute('aria-label', 'Find vectors by name, tag or text');
const order = list('Order of the vectors', ORDERS);
const kind = list('Vectors to show', KINDS);
const tools = make('div', 'mx-cards-tools');
tools.append(find, order, kind);
const grid = make('div', 'mx-cards');
grid.setAttribute('role', 'group');
grid.setAttribute('aria-label', 'Vectors');
const nothing = make('p', 'mx-quiet mx-cards-none');
root.append(head, tools, grid, nothing);

function list(name, options) {
  const node = make('select', 'mx-cards-list');
  node.setAttribute('aria-label', name);
  node.append(...Object.keys(options).map((option) => make('option', '', option)));
  return node;
}

function choose(selected) {
  props.value = { ...props.value, selected };
  draw(props.value);
  melbo.select({ vectors: selected }, element);
  trigger('pick', { selected });
}

function marks(vector, best) {
  const line = make('span', 'mx-card-marks');
  if (vector.objective !== null && vector.objective !== undefined) {
    const bar = make('span', 'mx-card-bar');
    const fill = make('span', 'mx-card-fill');
    fill.style.width = `${best > 0 ? Math.max(2, 100 * vector.objective / best) : 0}%`;
    bar.append(fill);
    line.append(bar);
  }
  if (vector.text?.verdict) line.append(make('span', `mx-score mx-score-${vector.text.verdict}`, vector.text.verdict));
  if (vector.runaway.length) {
    const flag = make('span', 'mx-card-runaway mx-score mx-score-runaway', 'runaway');
    line.append(flag);
  }
  if (vector.text && vector.text.same !== null) line.append(make('span', 'mx-score mx-score-same', `same text as ${vector.text.same}`));
  line.append(...vector.tags.map((tag) => {
    const node = make('span', 'mx-card-tag', tag);
    node.dir = 'auto';
    return node;
  }));
  return line;
}

function card(vector, chosen, best) {
  const node = make('button', 'mx-card');
  node.type = 'button';
  node.dataset.vector = vector.index;
  node.setAttribute('aria-pressed', chosen ? 'true' : 'false');
  const top = make('span', 'mx-card-line');
  const name = make('span', `mx-card-name${vector.name ? '' : ' mx-faint'}`, vector.name || 'no label');
  name.dir = 'auto';
  top.append(make('span', 'mx-card-number', String(vector.index)), name);
  if (vector.rating) {
    const stars = make('span', 'mx-stars', '★'.repeat(vector.rating));
    stars.setAttribute('aria-label', `rated ${vector.rating} of 5`);
    top.append(stars);
  }
  const text = make('span', 'mx-card-text', vector.text?.text ?? '');
  text.dir = 'auto';
  node.append(top, text, marks(vector, best));
  const strength = vector.objective === null || vector.objective === undefined ? []
    : [`strength J ${number(vector.objective)}: how far it moves the activations at the target layer`];
  node.title = [`vector ${vector.index}${vector.name ? ': ' + vector.name : ''}`, ...strength, ...vector.effect].join('\n');
  if (vector.text) node.title += `\nsays on “${vector.text.prompt}”: ${vector.text.text}`;
  if (vector.runaway.length) {
    const places = vector.runaway.map((seen) => `at R = ${number(seen.radius)} ${seen.where}`);
    node.title += `\nran away ${places.join(', ')}: it turns ordinary tokens into attention sinks`;
  }
  return node;
}

function draw(value) {
  const vectors = value.vectors || [];
  const selected = new Set(value.selected || []);
  const best = Math.max(0, ...vectors.map((v) => v.objective || 0));
  count.textContent = vectors.length ? `${selected.size} of ${vectors.length} selected` : 'No vectors';
  all.hidden = none.hidden = tools.hidden = vectors.length === 0;
  const words = find.value.trim().toLowerCase();
  const said = (one) => [one.index, one.name, ...one.tags, one.text?.text].join(' ').toLowerCase();
  const shown = vectors.filter((one) => KINDS[kind.value](one, selected) && said(one).includes(words)).sort(ORDERS[order.value]);
  const focused = grid.contains(document.activeElement) ? document.activeElement.dataset.vector : null;
  grid.replaceChildren(...shown.map((v) => card(v, selected.has(v.index), best)));
  nothing.textContent = vectors.length && !shown.length ? 'None of the vectors is like that.' : '';
  if (focused !== null) grid.querySelector(`[data-vector="${focused}"]`)?.focus({ preventScroll: true });
}

for (const node of [find, order, kind]) node.addEventListener('input', () => draw(props.value));
grid.addEventListener('click', (event) => {
  const node = event.target.closest('.mx-card');
  if (!node) return;
  const index = Number(node.dataset.vector);
  const selected = new Set(props.value.selected || []);
  if (!selected.delete(index)) selected.add(index);
  choose([...selected].sort((a, b) => a - b));
});
all.addEventListener('click', () => choose((props.value.vectors || []).map((v) => v.index)));
none.addEventListener('click', () => choose([]));
// Chosen elsewhere: by a lasso on the map, or a pair of the heat map.
melbo.subscribe(element, (state, changed) => {
  if (!changed.has('vectors')) return;
  const known = (props.value.vectors || []).map((one) => one.index);
  choose((state.vectors || []).filter((vector) => known.includes(vector)));
});
show((value) => {
  // without a choice from the server the one that was made here stays
  if (value.vectors && !value.selected) props.value = { ...value, selected: melbo.state.vectors || [] };
  draw(props.value);
  const { vectors, measured = [] } = value;
  if (vectors) melbo.select({ vectors: props.value.selected, total: vectors.length, measured }, element);
});
