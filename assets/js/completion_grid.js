// Completions side by side. Cards persist while their text streams, so nothing jumps and selections survive.
const groups = make('div', 'mx-groups');
root.append(groups);
let shape = '';

function button(text, title, action) {
  const node = make('button', 'mx-link', text);
  node.type = 'button';
  node.title = title;
  node.dataset.action = action;
  return node;
}

function judgement({ judge, verdict, behaviour }) {
  const parts = [make('span', 'mx-judge', judge), make('span', `mx-score mx-score-${verdict}`, verdict)];
  return behaviour ? [...parts, make('span', 'mx-judged-behaviour', behaviour)] : parts;
}

function build(card, lines) {
  const node = make('article', `mx-completion mx-kind-${card.kind}`);
  node.dataset.key = card.key;
  const head = make('div', 'mx-completion-head');
  head.append(make('span', 'mx-completion-title', card.title), make('span', 'mx-completion-name', card.name || ''));
  head.append(make('span', 'mx-scores'));
  const meta = make('span', 'mx-completion-meta');
  const body = make('div', 'mx-completion-text');
  body.style.minHeight = `${lines * 1.5}em`;
  const foot = make('div', 'mx-completion-foot');
  const judged = make('div', 'mx-judged');
  const flags = make('div', 'mx-flags');
  foot.append(meta, button('copy', 'Copy this text', 'copy'));
  if (card.kind === 'vector') foot.append(button('label', 'Label this vector', 'label'));
  node.append(head, judged, flags, body, foot);
  return node;
}

function fill(node, card) {
  const seen = JSON.stringify([card.pieces, card.meta, card.mark, card.name, card.chips, card.flags, card.judged]);
  if (node.dataset.seen === seen) return;
  node.dataset.seen = seen;
  node.querySelector('.mx-completion-name').textContent = card.name || '';
  node.querySelector('.mx-completion-meta').textContent = card.meta;
  node.querySelector('.mx-scores').replaceChildren(...(card.chips || []).map((chip) => {
    const shown = make('span', `mx-score mx-score-${chip.kind}`, chip.text);
    shown.title = chip.title;
    return shown;
  }));
  const judged = node.querySelector('.mx-judged');
  judged.title = card.judged?.title || '';
  judged.replaceChildren(...(card.judged ? judgement(card.judged) : []));
  node.querySelector('.mx-flags').replaceChildren(...(card.flags || []).map((flag) => {
    const shown = make('span', 'mx-flag', flag.text);
    shown.title = flag.title;
    return shown;
  }));
  node.dataset.mark = card.mark;
  const body = node.querySelector('.mx-completion-text');
  body.replaceChildren(...card.pieces.map(([text, differs]) => make(differs ? 'mark' : 'span', '', text)));
  if (card.mark === 'live') body.append(make('span', 'mx-caret', '▍'));
  if (card.mark === 'cut') body.append(make('span', 'mx-cut', ' …'));
}

function draw(value) {
  const wanted = value.groups || [];
  const next = JSON.stringify(wanted.map((group) => [group.title, group.cards.map((card) => card.key + card.title)]));
  if (next !== shape) {
    shape = next;
    groups.replaceChildren(...wanted.map((group) => {
      const section = make('section', 'mx-group');
      if (group.title) section.append(make('h3', 'mx-group-title', group.title));
      const grid = make('div', 'mx-completions');
      grid.append(...group.cards.map((card) => build(card, value.lines || 3)));
      section.append(grid);
      return section;
    }));
    if (!wanted.length) groups.append(make('p', 'mx-empty', value.message || ''));
  }
  const nodes = groups.querySelectorAll('.mx-completion');
  wanted.flatMap((group) => group.cards).forEach((card, at) => fill(nodes[at], card));
}

groups.addEventListener('click', async (event) => {
  const action = event.target.dataset.action;
  if (!action) return;
  const key = event.target.closest('.mx-completion').dataset.key;
  const card = props.value.groups.flatMap((group) => group.cards).find((one) => one.key === key);
  if (action === 'label') return trigger('annotate', { bank: card.bank, bank_hash: card.bank_hash, vector: card.vector });
  await navigator.clipboard.writeText(card.pieces.map((piece) => piece[0]).join(''));
  event.target.textContent = 'copied';
  setTimeout(() => { event.target.textContent = 'copy'; }, 1200);
});
show(draw);
