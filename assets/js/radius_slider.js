// A signed slider: the position maps to R logarithmically on both sides of zero; it reports on release only.
const SPAN = 6; // the ends, in multiples of the trained R
const BEND = 0.5; // below this multiple the scale is nearly linear
const TICKS = [-4, -2, -1, 0, 1, 2, 4];
const top = make('div', 'mx-radius-top');
const label = make('label', 'mx-radius-label');
const exact = make('input', 'mx-radius-exact');
const reset = make('button', 'mx-link', 'reset');
const range = make('input', 'mx-radius-range');
const ticks = make('div', 'mx-radius-ticks');
const band = make('div', 'mx-radius-band');
exact.type = 'text';
exact.inputMode = 'decimal';
exact.id = 'radius-exact';
exact.setAttribute('aria-label', 'Exact R');
reset.type = 'button';
reset.id = 'radius-reset';
reset.title = 'Back to the R of the bank';
range.type = 'range';
range.id = 'radius-range';
range.min = -1;
range.max = 1;
range.step = 0.001;
label.htmlFor = 'radius-range';
label.title = 'R: the length of the steering vector, and that as a multiple of the median norm of the activations at the source layer';
top.append(label, exact, reset);
root.append(top, range, band, ticks);

const trained = () => props.value?.trained || 10;
const scale = Math.log(1 + SPAN / BEND);

function toRadius(position) {
  return Math.sign(position) * trained() * BEND * (Math.exp(Math.abs(position) * scale) - 1);
}

function toPosition(radius) {
  const position = Math.log(1 + Math.abs(radius) / (trained() * BEND)) / scale;
  return Math.sign(radius) * Math.min(1, position);
}

function settle(radius) {
  // Round to what a person would write, and snap to zero and the ticks.
  for (const tick of TICKS) {
    if (Math.abs(toPosition(radius) - toPosition(tick * trained())) < 0.015) return tick * trained();
  }
  const step = 10 ** (Math.floor(Math.log10(Math.abs(radius))) - 1);
  return Number((Math.round(radius / step) * step).toPrecision(3));
}

function describe(radius) {
  const median = props.value?.median;
  const relative = median ? ` (${number(radius / median, 2)} × median)` : '';
  const norms = props.value?.norms;
  if (norms && radius === trained()) {
    return `R as in the bank: ${number(norms[0], 3)} to ${number(norms[1], 3)}`;
  }
  return `R = ${number(radius, 4)}${relative}${norms ? ' for all' : ''}`;
}

// Maps a position from -1 to 1 to the track, whose ends are half a thumb away from those of the slider.
const place = (position) => `calc(8px + (100% - 16px) * ${(1 + position) / 2})`;

function paint(radius, typing) {
  label.textContent = describe(radius);
  const position = toPosition(radius);
  range.value = position;
  range.style.setProperty('--from', place(Math.min(0, position)));
  range.style.setProperty('--to', place(Math.max(0, position)));
  range.setAttribute('aria-valuetext', describe(radius));
  if (!typing) exact.value = number(radius, 4);
  exact.removeAttribute('aria-invalid');
}

let waiting = null;
function commit(radius) {
  clearTimeout(waiting);
  if (radius === props.value.radius) return paint(radius);
  props.value = { ...props.value, radius };
  paint(radius);
  melbo.select({ radius }, element);
  trigger('release', { radius });
}

let byKey = false;
range.addEventListener('keydown', () => { byKey = true; });
range.addEventListener('pointerdown', () => { byKey = false; });
range.addEventListener('input', () => paint(byKey ? toRadius(Number(range.value)) : settle(toRadius(Number(range.value)))));
range.addEventListener('change', () => {
  // A held arrow key fires many changes: wait until it rests.
  clearTimeout(waiting);
  if (!byKey) return commit(settle(toRadius(Number(range.value))));
  const rounded = Number(toRadius(Number(range.value)).toPrecision(3));
  waiting = setTimeout(() => commit(rounded), 500);
});
range.addEventListener('keydown', (event) => {
  const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5 }[event.key];
  if (!way) return;
  event.preventDefault();
  range.value = Number(range.value) + way * 0.02;
  range.dispatchEvent(new Event('input'));
  range.dispatchEvent(new Event('change'));
});
exact.addEventListener('change', () => {
  const radius = Number(exact.value.trim().replace(',', '.'));
  if (exact.value.trim() === '' || !Number.isFinite(radius)) {
    exact.setAttribute('aria-invalid', 'true');
    return;
  }
  commit(radius);
});
exact.addEventListener('keydown', (event) => { if (event.key === 'Enter') exact.blur(); });
reset.addEventListener('click', () => commit(trained()));

// What the stored texts of the bank are like at each R: how readable by colour, how many were changed by height.
function paintBand() {
  const known = props.value?.trained ? melbo.state.measured || [] : [];
  band.replaceChildren(...known.map(({ radius, texts, readable, changed, distinct }) => {
    const mark = make('span', 'mx-radius-measured');
    mark.style.left = `${50 + 50 * toPosition(radius)}%`;
    mark.style.setProperty('--share', readable / texts);
    mark.style.setProperty('--changed', changed / texts);
    mark.title = `R = ${number(radius, 4)}: of ${texts} stored texts ${readable} are readable, ${changed} differ from the unsteered one, ${distinct} are distinct`;
    return mark;
  }));
}

show((value) => {
  const idle = !value.trained;
  range.disabled = exact.disabled = reset.disabled = idle;
  ticks.replaceChildren(...(idle ? [] : TICKS.map((tick) => {
    const mark = make('span', 'mx-radius-tick', tick === 0 ? '0' : number(tick * trained(), 2));
    mark.style.left = `${50 + 50 * toPosition(tick * trained())}%`;
    if (tick === 1 || tick === -1) mark.classList.add('mx-radius-tick-trained');
    return mark;
  })));
  paintBand();
  if (idle) label.textContent = 'R: choose a bank first';
  else paint(value.radius ?? trained());
  if (value.bank) melbo.select({ bank: value.bank, bank_hash: value.hash, radius: value.radius ?? trained() }, element);
});
melbo.subscribe(element, (state, changed) => {
  if (changed.has('measured')) paintBand();
  if (changed.has('radius') && props.value?.bank === state.bank && Number.isFinite(state.radius)) commit(state.radius);
});
