// One card per vector; a click selects or deselects it.
const head = make('div', 'mx-cards-head');
const count = make('span', 'mx-quiet');
const all = make('button', 'mx-link', 'all');
const none = make('button', 'mx-link', 'none');
all.type = none.type = 'button';
all.id = 'cards-all';
none.id = 'cards-none';
head.append(count, all, none);
const frame = make('div', 'mx-cards-frame');
const grid = make('div', 'mx-cards');
grid.setAttribute('role', 'group');
grid.setAttribute('aria-label', 'Vectors');
frame.append(grid);
root.append(head, frame);
const COLUMNS = 3; // as in the style sheet

function choose(selected) {
  props.value = { ...props.value, selected };
  draw(props.value);
  trigger('pick', { selected });
}

function card(vector, chosen, best) {
  const node = make('button', 'mx-card');
  node.type = 'button';
  node.dataset.vector = vector.index;
  node.setAttribute('aria-pressed', chosen ? 'true' : 'false');
  const top = make('span', 'mx-card-line');
  const place = make('span', 'mx-card-number', String(vector.index));
  top.append(place);
  const words = make('span', 'mx-card-line');
  const name = make('span', 'mx-card-name', vector.name || 'no label');
  if (!vector.name) name.classList.add('mx-faint');
  words.append(name);
  if (vector.rating) {
    const stars = make('span', 'mx-stars', '★'.repeat(vector.rating));
    stars.setAttribute('aria-label', `rated ${vector.rating} of 5`);
    words.append(stars);
  }
  node.append(top, words);
  if (vector.objective !== null && vector.objective !== undefined) {
    const bar = make('span', 'mx-card-bar');
    const fill = make('span', 'mx-card-fill');
    fill.style.width = `${best > 0 ? Math.max(2, 100 * vector.objective / best) : 0}%`;
    bar.append(fill);
    top.append(make('span', 'mx-card-objective', `J ${number(vector.objective)}`));
    node.append(bar);
  }
  node.title = [`vector ${vector.index}${vector.name ? ': ' + vector.name : ''}`, ...vector.effect].join('\n');
  if (vector.runaway.length) {
    const flag = make('span', 'mx-card-runaway');
    flag.setAttribute('role', 'img');
    flag.setAttribute('aria-label', 'runaway');
    place.append(flag);
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
  all.hidden = none.hidden = vectors.length === 0;
  frame.style.setProperty('--rows', Math.ceil(vectors.length / COLUMNS));
  const focused = grid.contains(document.activeElement) ? document.activeElement.dataset.vector : null;
  grid.replaceChildren(...vectors.map((v) => card(v, selected.has(v.index), best)));
  if (focused !== null) grid.querySelector(`[data-vector="${focused}"]`)?.focus();
}

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
show(draw);
