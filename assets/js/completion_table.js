// The table of one prompt: a row for each vector, a column for each R, the baseline and the R on top.
function columnsOf(cards) {
  const radii = new Map(cards.filter((card) => card.column).map((card) => [card.column, card.radius]));
  return [...radii].sort((one, other) => (other[0] === 'own') - (one[0] === 'own') || one[1] - other[1]).map(([column]) => column);
}

const columnName = (column) => (column === 'own' ? 'R as in the bank' : `R ${number(Number(column), 4)}`);

function heading(cls, role, text) {
  const node = make('div', cls, text);
  node.setAttribute('role', role);
  return node;
}

function rowHead(card) {
  const node = heading('mx-sheet-name', 'rowheader');
  node.append(make('span', 'mx-sheet-title', card.row), spoken(make('span', 'mx-sheet-label'), [card.name || '']));
  node.title = [card.row, card.name].filter(Boolean).join(' · ');
  return node;
}

function cell(card, nodes) {
  const node = build(card, 0, true);
  node.setAttribute('role', 'gridcell');
  node.setAttribute('aria-label', [card.title, card.name, at(card)].filter(Boolean).join(', '));
  node.setAttribute('aria-selected', 'false');
  node.tabIndex = -1;
  if (card.column) node.dataset.column = card.column;
  nodes.set(card.key, node);
  return node;
}

function table(cards, columns, nodes) {
  const sheet = make('div', 'mx-sheet');
  sheet.setAttribute('role', 'grid');
  sheet.setAttribute('aria-label', 'Texts of each vector at each R');
  sheet.style.setProperty('--radii', columns.length);
  // what a row outside the window counts for until it is laid out: a typical text, so that little moves then
  const lengths = cards.map((card) => card.pieces.reduce((sum, [text]) => sum + text.length, 0)).sort((one, other) => one - other);
  const rowLines = Math.min(6, Math.max(1, Math.ceil(lengths[Math.floor(lengths.length / 2)] / (columns.length > 3 ? 34 : 70))));
  sheet.style.setProperty('--row', `${47 + 20 * rowLines}px`);
  const head = heading('mx-sheet-row mx-sheet-head', 'row');
  head.append(heading('mx-sheet-name', 'columnheader', 'Vector'));
  head.append(...columns.map((column) => {
    const node = heading('mx-sheet-radius', 'columnheader', columnName(column));
    node.dataset.column = column;
    return node;
  }));
  const rows = new Map();
  for (const card of cards) {
    const key = card.kind === 'vector' ? card.vector : card.kind;
    if (!rows.has(key)) rows.set(key, []);
    rows.get(key).push(card);
  }
  const lines = [...rows].map(([key, members]) => {
    const row = heading(`mx-sheet-row mx-row-${members[0].kind}`, 'row');
    row.append(rowHead(members[0]));
    if (key === 'baseline') {
      const whole = cell(members[0], nodes);
      whole.setAttribute('aria-colspan', columns.length);
      row.append(whole);
      return row;
    }
    if (members[0].kind === 'vector') row.dataset.vector = key;
    const of = new Map(members.map((card) => [card.column, card]));
    row.append(...columns.map((column) => (of.has(column) ? cell(of.get(column), nodes) : heading('mx-sheet-gap', 'gridcell', ''))));
    return row;
  });
  const first = ['baseline', 'random'];
  const rank = (row) => first.findIndex((kind) => row.classList.contains(`mx-row-${kind}`)) >>> 0;
  lines.sort((one, other) => rank(one) - rank(other));
  sheet.append(head, ...lines);
  return sheet;
}

// The cell that an arrow key leads to from `node`; gaps and hidden rows are skipped.
function neighbour(sheet, node, key) {
  const row = node.parentElement;
  const rows = [...sheet.children].slice(1).filter((one) => !one.hidden);
  const place = rows.indexOf(row);
  const cells = (one) => [...one.children].slice(1);
  const column = row.classList.contains('mx-row-baseline') ? Number(sheet.dataset.column || 0) : cells(row).indexOf(node);
  sheet.dataset.column = column;
  const isCell = (one) => one?.classList.contains('mx-completion');
  if (key === 'ArrowUp' || key === 'ArrowDown') {
    const step = key === 'ArrowUp' ? -1 : 1;
    for (let next = place + step; next >= 0 && next < rows.length; next += step) {
      const there = cells(rows[next]);
      const found = there.length === 1 ? there[0] : there[column];
      if (isCell(found)) return found;
    }
    return null;
  }
  const line = cells(row).filter(isCell);
  if (key === 'Home' || key === 'End') return line.at(key === 'Home' ? 0 : -1);
  const step = (key === 'ArrowLeft') === (getComputedStyle(sheet).direction === 'rtl') ? 1 : -1;
  return line[line.indexOf(node) + step] || null;
}
