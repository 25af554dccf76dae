// Completions side by side: cards at one R, a table at several. What is shown, marked or hidden is decided here alone.
const MOST_COLUMNS = 16; // shown unasked: those nearest to the R of the comparison
const groups = make('div', 'mx-groups');
const frame = make('div', 'mx-grid-frame');
const pane = inspector(() => close(true));
frame.append(groups, pane);
root.append(bar, frame);
const nodes = new Map(); // the node of each card that is shown, by key
let shape = '';
let series = ''; // what the stored texts at other R belong to
let stored = new Map(); // those texts by key, and the texts that were shown last
let others = []; // those that are not of the comparison that is shown
let led = ''; // the R to which the table was scrolled last
let cards = []; // all that can be shown, with those at R whose column is off
let hit; // the key of the text that the server wants opened
let open = null; // the key of the cell that is looked at
let unwanted = null; // the columns that are off; null: not known yet
let isByHand = false; // whether a person has chosen them

const main = () => Boolean(props.value?.stamp);
const find = (key) => cards.find((card) => card.key === key);
const near = (one, other) => Math.abs(one - other) <= 1e-6 * Math.max(1, Math.abs(one));

function byNearness(columns) {
  const mine = props.value.stamp.radii[0] ?? 0;
  const far = (column) => (column === 'own' ? -1 : Number(column) * mine > 0 ? Math.abs(Math.log(Number(column) / mine)) : Infinity);
  return [...columns].sort((one, other) => far(one) - far(other));
}

function columnsShown(own) {
  const columns = columnsOf([...own, ...others]);
  if (!unwanted) {
    const mine = new Set(columnsOf(own));
    const extra = byNearness(columns.filter((column) => !mine.has(column)));
    unwanted = new Set(extra.slice(Math.max(0, MOST_COLUMNS - mine.size)));
  }
  return view.all ? columns.filter((column) => !unwanted.has(column)) : columnsOf(own);
}

// A table where there are texts at several R; both signs of one R stand side by side as cards.
function isTable(own, columns) {
  const mine = new Set(columnsOf(own));
  return main() && columns.length > 1 && (columns.some((one) => !mine.has(one)) || new Set(columns.map((one) => Math.abs(one))).size > 1);
}

function draw(value) {
  const wanted = value.groups || [];
  const own = wanted.flatMap((group) => group.cards);
  const belong = value.stamp ? JSON.stringify(['prompts', 'system', 'template', 'bank_hash', 'model_hash', 'dtype', 'decoding', 'vectors'].map((key) => value.stamp[key])) : '';
  if (belong !== series) {
    series = belong;
    unwanted = null;
    isByHand = false;
    stored = new Map();
    led = '';
  }
  if (value.others) {
    stored = new Map(value.others.map((card) => [card.key, card]));
    if (!isByHand) unwanted = null;
  }
  if (!value.live) for (const card of own) stored.set(card.key, card);
  if (value.stamp?.run) melbo.select({ run: value.stamp.run }, element);
  const keys = new Set(own.map((card) => card.key));
  others = [...stored.values()].filter((card) => !keys.has(card.key));
  cards = [...own, ...others];
  const columns = main() ? columnsShown(own) : [];
  const asTable = isTable(own, columns);
  const shown = wanted.map((group) => {
    const extra = group.cards.length && asTable ? others.filter((card) => card.prompt === group.cards[0].prompt) : [];
    return { ...group, cards: [...group.cards, ...extra].filter((card) => !asTable || !card.column || columns.includes(card.column)) };
  });
  const next = JSON.stringify([asTable && columns, value.lines, shown.map((group) => [group.title, group.cards.map((card) => [card.key, card.title, card.label, card.save])])]);
  if (next !== shape) {
    shape = next;
    rebuild(shown, columns, asTable, value);
  }
  if (asTable && led !== String(value.stamp.radii)) {
    led = String(value.stamp.radii);
    scrollToColumn(value.stamp.radii[0]);
  }
  drawBar(columnsOf(cards), columnsOf(own), columns, main() && own.length > 0);
  for (const group of shown) {
    const baseline = group.cards.find((card) => card.kind === 'baseline');
    const text = baseline && even(plain(baseline));
    const isPromptKnown = main() && (wanted.length > 1 || [undefined, null, '', group.prompt].includes(melbo.state.prompt));
    for (const card of group.cards) fill(nodes.get(card.key), card, { baseline: text, isPromptKnown, isCell: asTable });
  }
  paint();
  if (open !== null && !pane.hidden) {
    if (find(open)) inspectCell(find(open));
    else close(false);
  }
  if (value.hit !== hit) lead(value.hit);
}

// Opens the text that was asked for, once the room is there.
function lead(key) {
  hit = key;
  const card = key && find(key);
  if (!card) return;
  const look = () => {
    if (!groups.offsetParent) return setTimeout(look, 50);
    openCell(card, false);
    nodes.get(key)?.scrollIntoView({ block: 'center', inline: 'nearest' });
  };
  look();
}

function rebuild(shown, columns, asTable, value) {
  const focused = groups.contains(document.activeElement) ? document.activeElement.closest('.mx-completion')?.dataset.key : null;
  const places = [...groups.querySelectorAll('.mx-sheet')].map((sheet) => [sheet.scrollLeft, sheet.scrollTop]);
  nodes.clear();
  groups.replaceChildren(...shown.map((group) => {
    const section = make('section', 'mx-group');
    if (group.title) section.append(spoken(make('h3', 'mx-group-title'), [group.title]));
    if (asTable) {
      section.append(table(group.cards, columns, nodes));
      return section;
    }
    const grid = make('div', 'mx-completions');
    for (const card of group.cards) {
      const node = build(card, value.lines || 3);
      nodes.set(card.key, node);
      if (main()) node.tabIndex = -1;
      grid.append(node);
    }
    section.append(grid);
    return section;
  }));
  if (!shown.length) groups.append(make('p', 'mx-empty', value.message || ''));
  groups.querySelectorAll('.mx-sheet').forEach((sheet, place) => sheet.scrollTo(...(places[place] || [0, 0])));
  if (main()) rove(nodes.get(open) || nodes.values().next().value);
  if (focused) (nodes.get(focused) || nodes.values().next().value)?.focus();
}

function rove(node) {
  for (const one of groups.querySelectorAll('.mx-completion[tabindex="0"]')) one.tabIndex = -1;
  if (node) node.tabIndex = 0;
}

// Everything that changes no text: switches, the column of R, chosen vectors, the cell that is looked at.
function paint() {
  root.classList.toggle('mx-no-marks', !view.marks);
  root.classList.toggle('mx-only-differing', view.differing);
  let same = 0;
  for (const row of groups.querySelectorAll('.mx-sheet-row[data-vector], .mx-row-random')) {
    const texts = row.querySelectorAll('.mx-completion');
    row.hidden = view.differing && [...texts].every((one) => one.dataset.same === 'true');
  }
  for (const node of nodes.values()) same += node.dataset.same === 'true';
  hidden.textContent = view.differing ? `${same} of ${nodes.size} texts say the same as the unsteered one and are hidden` : '';
  if (main()) paintSelection();
}

function paintSelection() {
  const { radius, vectors, bank_hash: hash } = melbo.state;
  const mine = !hash || hash === props.value.stamp.bank_hash;
  for (const node of groups.querySelectorAll('.mx-sheet [data-column]')) {
    node.classList.toggle('mx-current', mine && near(Number(node.dataset.column), radius ?? props.value.stamp.radii[0]));
  }
  for (const row of groups.querySelectorAll('.mx-sheet-row[data-vector]')) {
    row.classList.toggle('mx-chosen', mine && Boolean(vectors?.includes(Number(row.dataset.vector))));
  }
  for (const [key, node] of nodes) {
    if (node.getAttribute('role') === 'gridcell') node.setAttribute('aria-selected', String(key === open));
    else if (key === open) node.setAttribute('aria-current', 'true');
    else node.removeAttribute('aria-current');
  }
}

function inspectCell(card) {
  const group = props.value.groups.find((one) => one.cards[0]?.prompt === card.prompt);
  const sought = card.key === hit ? props.value.sought : '';
  inspect(pane, card, cards.filter((one) => one.prompt === card.prompt), group?.prompt || '', sought);
}

function look(card) {
  open = card.key;
  paintSelection();
  if (!pane.hidden) inspectCell(card);
  const vector = card.kind === 'random' ? 'random' : card.vector;
  melbo.select({ cell: { vector, radius: card.radius, prompt: card.prompt } }, element);
}

function openCell(card, moveFocus) {
  const wasHidden = pane.hidden;
  pane.hidden = false;
  look(card);
  if (wasHidden) {
    nodes.get(card.key)?.scrollIntoView({ block: 'nearest', inline: 'nearest' }); // the pane has taken room from it
    if (pane.offsetTop > groups.offsetTop + 8) pane.scrollIntoView({ block: 'nearest' }); // it is below
  }
  if (moveFocus) pane.querySelector('h3').focus();
}

function close(returnFocus) {
  pane.hidden = true;
  if (returnFocus) nodes.get(open)?.focus();
}

function showColumn(radius) {
  const card = [...others, ...props.value.groups.flatMap((group) => group.cards)].find((one) => one.column && one.column !== 'own' && near(one.radius, radius));
  if (card && view.all && unwanted?.delete(card.column)) draw(props.value);
  paintSelection();
  scrollToColumn(radius);
}

function scrollToColumn(radius) {
  for (const sheet of groups.querySelectorAll('.mx-sheet')) {
    const [name, ...heads] = sheet.firstElementChild.children;
    const head = heads.find((one) => near(Number(one.dataset.column), radius));
    if (head) sheet.scrollTo({ left: head.offsetLeft - name.offsetWidth });
  }
}

async function copy(card, button) {
  await navigator.clipboard.writeText(plain(card));
  button.textContent = 'copied';
  setTimeout(() => { button.textContent = 'copy'; }, 1200);
}

function act(event, card) {
  const { action } = event.target.dataset;
  if (action === 'copy') copy(card, event.target);
  if (action === 'label') trigger('annotate', { bank: card.bank, bank_hash: card.bank_hash, vector: card.vector });
  if (action === 'save') trigger('save_bank', { bank_hash: card.bank_hash });
  if (action === 'close') close(true);
  if (action === 'take') melbo.select({ radius: card.radius }, element);
  if (action === 'more') {
    const node = nodes.get(card.key);
    node.classList.add('mx-whole');
    node.seen = null;
    draw(props.value);
    node.focus();
  }
}

groups.addEventListener('click', (event) => {
  const node = event.target.closest('.mx-completion');
  const card = node && find(node.dataset.key);
  if (!card) return;
  if (event.target.dataset.action) act(event, card);
  else if (main() && String(getSelection()) === '') openCell(card, false);
});
groups.addEventListener('focusin', (event) => {
  if (!main() || !event.target.classList.contains('mx-completion')) return;
  rove(event.target);
  if (event.target.dataset.key !== open) look(find(event.target.dataset.key));
});
groups.addEventListener('keydown', (event) => {
  const node = event.target;
  if (!main() || !node.classList.contains('mx-completion') || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === 'Escape' && !pane.hidden) close(true);
  if (event.key === 'Enter') openCell(find(node.dataset.key), true);
  if (!['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(event.key)) return;
  event.preventDefault();
  const sheet = node.closest('.mx-sheet');
  const list = [...nodes.values()].filter((one) => !(view.differing && one.dataset.same === 'true'));
  const step = ['ArrowUp', 'ArrowLeft'].includes(event.key) ? -1 : 1;
  const place = { Home: 0, End: -1 }[event.key] ?? Math.max(0, list.indexOf(node) + step);
  (sheet ? neighbour(sheet, node, event.key) : list.at(place) || null)?.focus();
});
pane.addEventListener('click', (event) => {
  const going = event.target.closest('[data-action=go]')?.dataset.at;
  if (going) {
    openCell(find(going), true);
    nodes.get(going)?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  } else if (event.target.dataset.action) act(event, find(pane.dataset.key));
});
bar.addEventListener('change', (event) => {
  const { view: name, column } = event.target.dataset;
  if (name) {
    view[name] = event.target.checked;
    remember();
  } else {
    isByHand = true;
    if (event.target.checked) unwanted.delete(column);
    else unwanted.add(column);
  }
  if (name === 'marks' || name === 'differing') paint();
  else draw(props.value);
  if (column) boxes.querySelector(`[data-column="${column}"]`)?.focus();
});
melbo.subscribe(element, (state, changed) => {
  if (!main()) return;
  if (changed.has('prompt')) draw(props.value);
  if (changed.has('radius')) showColumn(state.radius);
  if (changed.has('vectors') || changed.has('bank_hash')) paintSelection();
  if (!changed.has('cell') || !state.cell) return;
  const { vector, radius, prompt } = state.cell;
  const kind = vector === null || vector === undefined ? 'baseline' : vector === 'random' ? 'random' : 'vector';
  const card = cards.find((one) => one.kind === kind && (kind !== 'vector' || one.vector === vector)
    && (kind === 'baseline' || near(one.radius, radius)) && [undefined, null, one.prompt, one.asked].includes(prompt));
  if (!card) return;
  open = card.key;
  rove(nodes.get(open));
  paintSelection();
  if (!pane.hidden) inspectCell(card);
  nodes.get(open)?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
});
show(draw);
