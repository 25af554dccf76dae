// The map: completions as points. Colours, shapes, contours and the selection are painted here, without the server.
// Plotly has the axes, the tools, what hovering says and which points are hit; the points are those of point_canvas.js.
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

function useTool(mode) {
  for (const node of tools.children) node.setAttribute('aria-pressed', node.dataset.mode === mode ? 'true' : 'false');
}

const hidden = { opacity: 0, maxdisplayed: 1 }; // plotly draws one marker that nobody sees, and still finds all points
const camera = { name: 'image', title: 'Download plot as a PNG', click: download };

// As a picture, the points are plotly's own.
function download() {
  const { figure, paints } = props.value;
  const { groups, of } = paints[colour];
  const each = (take) => of.map((group) => take(groups[group].marker));
  const marker = {
    opacity: 1, color: each((one) => one.color), symbol: each((one) => one.symbol), size: each((one) => one.size),
    line: { color: each((one) => one.line.color), width: each((one) => one.line.width) },
  };
  const points = { ...figure.data[0], marker, selectedpoints: standing(), unselected: { marker: { opacity: FADED } } };
  const { width, height } = plot._fullLayout;
  Plotly.downloadImage({ data: [points], layout: plot.layout, config: figure.config }, { format: 'png', width, height, filename: 'map' });
}

let shown = {}; // the shapes and names that plotly draws
async function paint(anew) {
  await plotting();
  const { figure, paints } = props.value;
  const [first] = figure.data;
  const chosen = paints[colour];
  const selected = first && standing();
  const over = first ? { shapes: [...chosen.shapes, ...paths(selected)], annotations: chosen.annotations } : {};
  const changed = Object.entries(over).filter(([part, those]) => JSON.stringify(those) !== JSON.stringify(shown[part]));
  shown = over;
  Object.assign(plot.dataset, { points: first?.x.length ?? 0, colour, selected: selected?.length ?? '' });
  tell(selected);
  repaint({ x: first?.x ?? [], y: first?.y, of: chosen.of, groups: chosen.groups, selected });
  if (anew || !drawn) {
    const data = figure.data.map((trace) => ({ ...trace, marker: hidden }));
    const buttons = { modeBarButtonsToRemove: ['toImage'], modeBarButtonsToAdd: [{ ...camera, icon: Plotly.Icons.camera }] };
    await Plotly.react(plot, data, { ...figure.layout, ...over }, { ...figure.config, ...buttons });
  } else if (changed.length) {
    await Plotly.relayout(plot, Object.fromEntries(changed));
  }
  plot.dataset.drawn = 'true';
}

function tell(selected) {
  const vectors = selected ? vectorsOf(selected) : [];
  const texts = selected ? selected.filter((at) => picked || vectorOf(at) !== null).length : 0;
  const many = (count, what) => `${count} ${what}${count === 1 ? '' : 's'}`;
  said.textContent = selected ? `${many(texts, 'text')} of ${many(vectors.length, 'vector')} selected` : '';
  clear.hidden = !picked;
  const inside = new Set(picked);
  for (const node of legend.children) {
    const group = Number(node.dataset.group);
    const all = picked && props.value.paints[colour].of.every((one, at) => one !== group || inside.has(at));
    node.setAttribute('aria-pressed', all ? 'true' : 'false');
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
  picked = before = null;
  colour = value.colour;
  fillLegend();
  await paint(true);
  useTool(plot.layout.dragmode);
  if (drawn) return;
  drawn = true;
  plot.on('plotly_relayout', (change) => {
    if (change.dragmode) useTool(change.dragmode);
    repaint();
  });
  for (const moment of ['plotly_relayouting', 'plotly_afterplot']) plot.on(moment, () => repaint());
  plot.on('plotly_selecting', (event) => { if (event?.points) repaint({ selected: event.points.map((one) => one.pointIndex) }); });
  plot.on('plotly_deselect', () => repaint({ selected: standing() }));
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
