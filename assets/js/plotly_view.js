// A plotly figure that reports clicks on points.
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
  await Plotly.react(plot, figure.data, figure.layout || {}, figure.config);
  plot.dataset.points = figure.data.reduce((sum, trace) => sum + (trace.x?.length || 0), 0);
  if (drawn) return;
  drawn = true;
  plot.on('plotly_click', (event) => {
    const point = event.points?.[0];
    if (point?.customdata !== undefined) trigger('point', { customdata: point.customdata });
  });
}

new ResizeObserver(() => { if (drawn && plot.offsetParent) Plotly.Plots.resize(plot); }).observe(root);
show(draw);
