// The map: completions as points. Colours, shapes, contours and the selection are painted here, without the server.
//   value {figure, paints: {colour: {groups, of, shapes, annotations}}, colour, points: [[vector, R, prompt]], prompts, bank}
//   events: point (a text was clicked), picked (numbers of the points inside a lasso; none: cleared)
const MOST_PATHS = 6; // vectors whose way over R is drawn: more lines say nothing
const bar = make('div', 'mx-map-bar');
const said = make('span', 'mx-map-said');
said.setAttribute('role', 'status');
const clear = make('button', 'mx-link', 'clear');
clear.type = 'button';
clear.dataset.action = 'clear';
const tools = make('span', 'mx-map-tools');
tools.setAttribute('role', 'group');
tools.setAttribute('aria-label', 'Dragging on the map');
for (const [mode, name, does] of [['pan', 'move', 'Drag to move the map'], ['lasso', 'lasso', 'Drag around texts to select them'], ['select', 'box', 'Drag a box around texts to select them']]) {
  const node = make('button', 'mx-link', name);
  node.type = 'button';
  node.dataset.mode = mode;
  node.title = does;
  tools.append(node);
}
bar.append(said, clear, tools);
const plot = make('div', 'mx-plot');
const empty = make('p', 'mx-empty');
const legend = make('div', 'mx-legend');
legend.setAttribute('role', 'group');
legend.setAttribute('aria-label', 'Groups of points');
root.append(empty, bar, plot, legend);
const SIGNS = {
  circle: '●', square: '■', diamond: '◆', 'triangle-up': '▲', cross: '✚', 'triangle-down': '▼', pentagon: '⬟', x: '✖',
  star: '★', 'circle-open': '○', 'diamond-open': '◇',
};
let drawn = false;
let colour = null;
let picked = null; // numbers of the points that were selected here; null: those of the chosen vectors
let before = null; // the vectors that were chosen before something was selected here

const canGl = Boolean(document.createElement('canvas').getContext('webgl'));

function state() { return window.melbo?.state ?? {}; }
// Whether the numbers in the selection are those of this map's bank.
function belongs() { return !state().bank || !props.value.bank || state().bank === props.value.bank; }
function vectorOf(at) { const [vector] = props.value.points[at]; return Number.isInteger(vector) ? vector : null; }
function vectorsOf(numbers) {
  return [...new Set(numbers.map(vectorOf))].filter((vector) => vector !== null).sort((one, other) => one - other);
}

// The points to stand out: undefined where all do. The baseline and the control have no vector, and stay.
function standing() {
  if (picked) return picked;
  const { points } = props.value;
  const chosen = belongs() ? new Set(state().vectors || []) : new Set();
  const all = vectorsOf(points.map((_, at) => at));
  const some = all.filter((vector) => chosen.has(vector));
  if (!some.length || some.length === all.length) return undefined;
  return points.flatMap((_, at) => (vectorOf(at) === null || chosen.has(vectorOf(at)) ? [at] : []));
}

function paths(selected) {
  if (!selected) return [];
  const { points } = props.value;
  const wanted = vectorsOf(selected);
  if (wanted.length > MOST_PATHS) return [];
  const [trace] = props.value.figure.data;
  const paint = props.value.paints[colour];
  const lines = new Map();
  points.forEach(([vector, radius, prompt], at) => {
    if (!wanted.includes(vector)) return;
    const key = `${vector}/${prompt}`;
    if (!lines.has(key)) lines.set(key, []);
    lines.get(key).push({ at, radius });
  });
  return [...lines.values()].filter((line) => line.length > 1).map((line) => {
    const along = line.sort((one, other) => one.radius - other.radius).map(({ at }) => at);
    const own = paint.groups[paint.of[along[0]]].marker.color;
    return {
      type: 'path', layer: 'below', name: `path of vector ${points[along[0]][0]}`, opacity: 0.8,
      path: `M${along.map((at) => `${trace.x[at]},${trace.y[at]}`).join('L')}`,
      line: { color: colour === 'vector' ? own : '#80848c', width: 1.5 },
    };
  });
}

function markers(paint, many) {
  const of = (pick) => paint.of.map((group) => pick(paint.groups[group].marker));
  // Among many points one outline for all: plotly reads each colour by itself, which takes longer than to draw.
  const line = many ? { color: 'rgba(128, 128, 128, 0.8)', width: 0.8 } : { color: of((one) => one.line.color), width: of((one) => one.line.width) };
  return { opacity: 1, color: of((one) => one.color), symbol: of((one) => one.symbol), size: of((one) => one.size), line };
}

function useTool(mode) {
  for (const node of tools.children) node.setAttribute('aria-pressed', node.dataset.mode === mode ? 'true' : 'false');
}

let painted = {}; // the arrays of each colouring, made once
async function paint() {
  await plotting();
  const value = props.value;
  const [first] = value.figure.data;
  if (!first) return Plotly.react(plot, value.figure.data, value.figure.layout, value.figure.config);
  const selected = standing();
  const chosen = value.paints[colour];
  painted[colour] ??= markers(chosen, first.type === 'scattergl');
  const points = {
    ...first, type: first.type === 'scattergl' && !canGl ? 'scatter' : first.type, marker: painted[colour],
    selectedpoints: selected, unselected: { marker: { opacity: 0.12 } },
  };
  const layout = { ...value.figure.layout, shapes: [...chosen.shapes, ...paths(selected)], annotations: chosen.annotations };
  plot.dataset.points = first.x.length;
  plot.dataset.colour = colour;
  plot.dataset.selected = selected ? selected.length : '';
  tell(selected);
  await Plotly.react(plot, [points], layout, value.figure.config);
  plot.dataset.drawn = 'true';
}

function tell(selected) {
  const vectors = selected ? vectorsOf(selected) : [];
  const texts = selected ? selected.filter((at) => picked || vectorOf(at) !== null).length : 0;
  const many = (count, what) => `${count} ${what}${count === 1 ? '' : 's'}`;
  said.textContent = selected ? `${many(texts, 'text')} of ${many(vectors.length, 'vector')} selected` : '';
  clear.hidden = !picked;
  for (const node of legend.children) {
    const group = Number(node.dataset.group);
    const inside = picked && props.value.paints[colour].of.every((one, at) => one !== group || picked.includes(at));
    node.setAttribute('aria-pressed', inside ? 'true' : 'false');
  }
}

function fillLegend() {
  legend.replaceChildren(...props.value.paints[colour].groups.map(({ name, marker, count }, at) => {
    const node = make('button', 'mx-legend-entry');
    node.type = 'button';
    node.dataset.group = at;
    node.title = 'Select these texts';
    const sign = make('span', 'mx-legend-sign', SIGNS[marker.symbol] || '●');
    sign.style.color = marker.color === 'black' ? 'inherit' : marker.color;
    sign.setAttribute('aria-hidden', 'true');
    const words = make('span', 'mx-legend-name');
    words.textContent = decoded(name);
    words.dir = 'auto';
    node.append(sign, words, make('span', 'mx-faint', String(count)));
    return node;
  }));
}

// Names come escaped for plotly, which reads entities; here they are plain text.
function decoded(name) { return name.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&'); }

function pick(numbers, cell) {
  if (picked === null) before = state().vectors;
  picked = numbers.length ? [...numbers].sort((one, other) => one - other) : null;
  const vectors = picked ? vectorsOf(picked) : before ?? vectorsOf(props.value.points.map((_, at) => at));
  before = picked ? before : null;
  const change = belongs() && vectors?.length ? { vectors } : {};
  window.melbo?.select({ ...change, ...(belongs() && cell !== undefined ? { cell } : {}) }, element);
  return paint();
}

function choose(numbers) {
  trigger('picked', { points: numbers });
  return pick(numbers, null);
}

async function draw(value) {
  const { figure } = value;
  empty.textContent = figure ? '' : value.message || '';
  empty.hidden = Boolean(figure);
  plot.hidden = bar.hidden = legend.hidden = !figure;
  if (!figure) return;
  painted = {};
  picked = before = null;
  colour = value.colour;
  fillLegend();
  await paint();
  useTool(plot.layout.dragmode);
  if (drawn) return;
  drawn = true;
  plot.on('plotly_relayout', (change) => { if (change.dragmode) useTool(change.dragmode); });
  plot.on('plotly_click', (event) => {
    const point = event.points?.[0];
    if (!point) return;
    const [vector, radius, prompt] = props.value.points[point.pointIndex];
    trigger('point', { customdata: point.customdata });
    pick([point.pointIndex], { vector, radius, prompt: props.value.prompts[prompt] });
  });
  let clearing = false; // taking the outline away reports a selection again
  plot.on('plotly_selected', async (event) => {
    if (clearing || !event?.points || !(event.range || event.lassoPoints)) return;
    clearing = true;
    const inside = event.points.map((one) => one.pointIndex);
    await Plotly.relayout(plot, { selections: [] });
    await choose(inside);
    clearing = false;
  });
  plot.on('plotly_doubleclick', () => { if (picked) choose([]); });
}

// For the choice of colours: no point is sent again.
root.recolour = (wanted) => {
  if (!props.value?.paints?.[wanted]) return null;
  colour = wanted;
  fillLegend();
  return paint();
};
root.pick = choose;

legend.addEventListener('click', (event) => {
  const node = event.target.closest('.mx-legend-entry');
  if (!node) return;
  const group = Number(node.dataset.group);
  const pressed = node.getAttribute('aria-pressed') === 'true';
  choose(pressed ? [] : props.value.paints[colour].of.flatMap((one, at) => (one === group ? [at] : [])));
});
tools.addEventListener('click', (event) => {
  const { mode } = event.target.dataset;
  if (mode && drawn) Plotly.relayout(plot, { dragmode: mode });
});
clear.addEventListener('click', () => choose([]));
window.melbo?.subscribe(element, (now, changed) => {
  if (!drawn || !props.value?.figure || !(changed.has('vectors') || changed.has('bank'))) return;
  picked = before = null;
  paint();
});
new ResizeObserver(() => { if (drawn && plot.offsetParent) Plotly.Plots.resize(plot); }).observe(root);
show(draw);
