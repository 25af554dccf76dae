// The inspector: one text in full, beside what it is to be compared with.
function inspector(close) {
  const pane = make('aside', 'mx-inspector');
  pane.hidden = true;
  pane.setAttribute('aria-label', 'Inspector');
  pane.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') close();
  });
  return pane;
}

function part(title, ...inside) {
  const node = make('section', 'mx-inspector-part');
  node.append(make('h4', '', title), ...inside);
  return node;
}

function textPart(title, card, differences, sought) {
  const found = sought && soughtIn(plain(card), sought);
  const text = spoken(make('div', 'mx-inspector-text'), found || (differences ? marked(card.pieces) : [plain(card)]));
  if (card.mark === 'cut') text.append(make('span', 'mx-cut', ' …'));
  return part(title, text);
}

function figures(card) {
  const lines = [];
  for (const chip of card.chips || []) {
    lines.push(make('p', `mx-score mx-score-${chip.kind}`, chip.text));
    lines.push(...chip.title.split('\n').map((line) => make('p', 'mx-quiet', line)));
  }
  if (card.judged) {
    const { judge, verdict, behaviour } = card.judged;
    lines.push(make('p', '', `${judge} judges: ${verdict}${behaviour ? `. ${behaviour}` : ''}`));
  }
  lines.push(make('p', 'mx-quiet', card.meta));
  return lines;
}

function reasons(card) {
  return card.flags.map((flag) => {
    const line = make('p', '');
    line.append(make('span', 'mx-flag', flag.text), ' ', flag.title);
    return line;
  });
}

function short(card) {
  const node = make('button', 'mx-inspector-radius');
  node.type = 'button';
  node.dataset.action = 'go';
  node.dataset.at = card.key;
  const text = even(plain(card));
  const said = spoken(make('span', ''), [text.length > 110 ? `${text.slice(0, 109)}…` : text]);
  node.append(make('strong', '', at(card)), said);
  return node;
}

function seedText({ seed, verdict, pieces }) {
  const node = make('div', 'mx-inspector-seed');
  const head = make('p', 'mx-quiet', `seed ${seed}`);
  if (verdict) head.append(' ', make('span', `mx-score mx-score-${verdict}`, verdict));
  node.append(head, spoken(make('div', 'mx-inspector-text'), marked(pieces)));
  return node;
}

// `cards` are all that belong to the same prompt.
function inspect(pane, card, cards, asked, sought) {
  const same = (one) => one.kind === card.kind && one.vector === card.vector;
  const baseline = cards.find((one) => one.kind === 'baseline');
  const opposite = card.kind !== 'baseline' && cards.find((one) => same(one) && one.radius === -card.radius);
  const control = card.kind === 'vector' && cards.find((one) => one.kind === 'random' && one.radius === card.radius);
  const every = card.kind === 'baseline' ? [] : cards.filter(same).sort((one, other) => one.radius - other.radius);
  const head = make('header', 'mx-inspector-head');
  const title = make('h3', '', [card.title, card.name, card.title.includes(at(card)) ? '' : at(card)].filter(Boolean).join(' · '));
  title.tabIndex = -1;
  head.append(title, link('close', 'Close the inspector (Escape)', 'close'));
  const foot = make('div', 'mx-inspector-actions');
  foot.append(...actions(card));
  if (card.kind !== 'baseline') foot.append(link('Take this R', 'Set R to that of this text', 'take'));
  const made = spoken(make('p', 'mx-quiet mx-inspector-made'), [[card.origin, `“${even(asked)}”`].filter(Boolean).join(' · ')]);
  const parts = [head, foot, made, textPart(card.kind === 'baseline' ? 'Without steering' : 'This text', card, true, sought)];
  if (card.flags.length) parts.push(part('Flags', ...reasons(card)));
  if (card.seeds) parts.push(part(`${card.seeds.texts} seeds`, make('p', 'mx-quiet', spread(card.seeds)), ...card.seeds.each.map(seedText)));
  if (baseline && card !== baseline) parts.push(textPart('Without steering', baseline, false));
  if (opposite) parts.push(textPart(`Reversed, ${at(opposite)}`, opposite, true));
  if (control) parts.push(textPart(`Random control, ${at(control)}`, control, true));
  if (every.length > 1) {
    const list = make('div', 'mx-inspector-radii');
    list.append(...every.map(short));
    for (const one of list.children) if (one.dataset.at === card.key) one.setAttribute('aria-current', 'true');
    parts.push(part(`${card.row} at every R`, list));
  }
  parts.push(part('In numbers', ...figures(card)));
  pane.replaceChildren(...parts);
  pane.dataset.key = card.key;
  pane.hidden = false;
}
