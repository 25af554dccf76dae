// The map's points, painted on a canvas between plotly's grid and its names. Thousands take milliseconds, also without a
// graphics card, where the processor needs hundreds for WebGL.
const FADED = 0.12; // of the points outside the selection
const canvas = make('canvas', 'mx-points');
canvas.setAttribute('aria-hidden', 'true'); // the list of texts has the words
// Plotly's outlines, so that a downloaded picture shows the same.
const OUTLINES = {
  circle: (r) => `M${r},0A${r},${r} 0 1,1 0,${-r}A${r},${r} 0 0,1 ${r},0Z`,
  square: (r) => `M${r},${r}H${-r}V${-r}H${r}Z`,
  diamond: (r) => `M${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0L0,${-1.3 * r}Z`,
  cross: (r) => {
    const [in_, out] = [0.4 * r, 1.2 * r];
    return `M${out},${in_}H${in_}V${out}H${-in_}V${in_}H${-out}V${-in_}H${-in_}V${-out}H${in_}V${-in_}H${out}Z`;
  },
  x: (r) => {
    const a = 0.8 * r / Math.SQRT2;
    const [ne, se, sw, nw] = [`l${a},${-a}`, `l${a},${a}`, `l${-a},${a}`, `l${-a},${-a}`];
    return `M0,${a}${se}${ne}${nw}${ne}${nw}${sw}${nw}${sw}${se}${sw}${se}${ne}Z`;
  },
  'triangle-up': (r) => `M${-2 * r / Math.sqrt(3)},${r / 2}H${2 * r / Math.sqrt(3)}L0,${-r}Z`,
  'triangle-down': (r) => `M${-2 * r / Math.sqrt(3)},${-r / 2}H${2 * r / Math.sqrt(3)}L0,${r}Z`,
  pentagon: (r) => `M${0.951 * r},${-0.309 * r}L${0.588 * r},${0.809 * r}H${-0.588 * r}L${-0.951 * r},${-0.309 * r}L0,${-r}Z`,
  star: (r) => {
    const s = 1.4 * r;
    return `M${0.225 * s},${-0.309 * s}H${0.951 * s}L${0.363 * s},${0.118 * s}L${0.588 * s},${0.809 * s}L0,${0.382 * s}`
      + `L${-0.588 * s},${0.809 * s}L${-0.363 * s},${0.118 * s}L${-0.951 * s},${-0.309 * s}H${-0.225 * s}L0,${-s}Z`;
  },
};
let look = null; // what is painted: {x, y, of: the group of each point, groups, selected: numbers or undefined}
let stamps = new Map(); // a small picture of each marker, at this sharpness
let sharpness = 0;
let asked = 0;

function stamp(marker) {
  const key = JSON.stringify(marker);
  if (stamps.has(key)) return stamps.get(key);
  const open = marker.symbol.endsWith('-open');
  const outline = new Path2D((OUTLINES[marker.symbol.replace('-open', '')] ?? OUTLINES.circle)(marker.size / 2));
  const width = open ? marker.line.width || 1 : marker.line.width;
  const half = Math.ceil((0.7 * marker.size + width) * sharpness) + 1; // a star reaches 0.7 of its size
  const scrap = new OffscreenCanvas(2 * half, 2 * half);
  const ink = scrap.getContext('2d');
  ink.setTransform(sharpness, 0, 0, sharpness, half, half);
  ink.fillStyle = marker.color;
  ink.strokeStyle = open ? marker.color : marker.line.color;
  ink.lineWidth = width;
  if (!open) ink.fill(outline);
  if (width) ink.stroke(outline);
  stamps.set(key, { picture: scrap.transferToImageBitmap(), half }); // bitmaps are painted faster than canvases
  return stamps.get(key);
}

function paintPoints() {
  asked = 0;
  const { xaxis, yaxis } = plot._fullLayout ?? {};
  if (!look || !xaxis) return;
  if (!canvas.isConnected) plot.querySelector('.gl-container')?.append(canvas); // plotly made its parts anew
  if (sharpness !== devicePixelRatio) stamps = new Map();
  sharpness = devicePixelRatio;
  const [wide, high] = [Math.round(xaxis._length * sharpness), Math.round(yaxis._length * sharpness)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  Object.assign(canvas.style, {
    left: `${xaxis._offset}px`, top: `${yaxis._offset}px`, width: `${xaxis._length}px`, height: `${yaxis._length}px`,
  });
  const ink = canvas.getContext('2d');
  ink.clearRect(0, 0, wide, high);
  const { x, y, of } = look;
  const pictures = look.groups.map(({ marker }) => stamp(marker));
  const [left, right] = xaxis.range; // which plotly changes while somebody drags
  const [bottom, top] = yaxis.range;
  const one = (at) => {
    const { picture, half } = pictures[of[at]];
    const across = Math.round((x[at] - left) / (right - left) * wide) - half;
    const down = Math.round((top - y[at]) / (top - bottom) * high) - half;
    if (across > -2 * half && across < wide && down > -2 * half && down < high) ink.drawImage(picture, across, down);
  };
  const selected = look.selected && new Set(look.selected);
  ink.globalAlpha = selected ? FADED : 1;
  for (let at = 0; at < x.length; at += 1) if (!selected?.has(at)) one(at);
  ink.globalAlpha = 1;
  selected?.forEach(one);
}

// With the next frame, however often it is asked for.
function repaint(change = {}) {
  look = { ...look, ...change };
  asked ||= requestAnimationFrame(paintPoints);
}

// The page may be enlarged, or its window moved to another screen.
(function follow() {
  const again = () => { repaint(); follow(); };
  matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener('change', again, { once: true });
})();
