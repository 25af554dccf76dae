// A plotly figure that reports clicks on points. With `vectors`, the rows and columns of a heat map in their order, a
// click selects its two vectors, and what is selected elsewhere is marked in it.
const plot = make('div', 'mx-plot');
const empty = make('p', 'mx-empty');
root.append(empty, plot);
let drawn = false;

async function draw(value) {
  const figure = value.figure;
  empty.textContent = figure ? '' : value.message || '';
  empty.hidden = Boolean(figure);
  plot.hidden = !figure;
  if (!figure) return;
  await plotting();
  await Plotly.react(plot, figure.data, figure.layout || {}, figure.config);
  plot.dataset.points = figure.data.reduce((sum, trace) => sum + (trace.x?.length || 0), 0);
  if (value.vectors) mark(window.melbo?.state ?? {});
  if (drawn) return;
  drawn = true;
  plot.on('plotly_click', (event) => {
    const point = event.points?.[0];
    if (!point) return;
    const order = props.value.vectors;
    const customdata = order ? [order[point.y], order[point.x]] : point.customdata;
    if (customdata === undefined) return;
    trigger('point', { customdata });
    if (!order || !belongs(window.melbo?.state ?? {})) return;
    window.melbo?.select({ vectors: [...new Set(customdata)].sort((one, other) => one - other) }, element);
    mark(window.melbo?.state ?? {});
  });
}

// Whether the numbers in the selection are those of this figure's bank.
function belongs(state) { return !state.bank || !props.value.bank || state.bank === props.value.bank; }

function mark(state) {
  const order = props.value.vectors || [];
  const chosen = belongs(state) ? order.flatMap((vector, at) => ((state.vectors || []).includes(vector) ? [at] : [])) : [];
  const shown = chosen.length < order.length ? chosen : []; // all of them need no mark
  plot.dataset.marked = shown.map((at) => order[at]).join(' ');
  const colour = getComputedStyle(plot).getPropertyValue('--color-accent').trim() || '#6366f1';
  const least = -0.5;
  const most = order.length - 0.5;
  const band = (x0, x1, y0, y1) => ({ type: 'rect', x0, x1, y0, y1, line: { color: colour, width: 2 }, layer: 'above' });
  const shapes = shown.flatMap((at) => [band(least, most, at - 0.5, at + 0.5), band(at - 0.5, at + 0.5, least, most)]);
  Plotly.relayout(plot, { shapes });
}

window.melbo?.subscribe(element, (state, changed) => {
  if (drawn && props.value?.vectors && (changed.has('vectors') || changed.has('bank'))) mark(state);
});
new ResizeObserver(() => { if (drawn && plot.offsetParent) Plotly.Plots.resize(plot); }).observe(root);
show(draw);
