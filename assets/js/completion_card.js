// One completion: a card, or a smaller cell of the table. Nodes are built once and filled while their text streams.
const CLIPPED = 200; // characters that certainly fit into a cell; longer texts have “more”
const LONG = 420; // characters of which a cell shows the first lines

function link(text, title, action) {
  const node = make('button', 'mx-link', text);
  node.type = 'button';
  node.title = title;
  node.dataset.action = action;
  return node;
}

const plain = (card) => card.pieces.map((piece) => piece[0]).join('');
const even = (text) => text.split(/\s+/).filter(Boolean).join(' ');
const at = (card) => (card.kind === 'baseline' ? '' : `R ${number(card.radius, 4)}`);

function spoken(node, text) {
  node.dir = 'auto';
  node.append(...text);
  return node;
}

function marked(pieces) {
  return pieces.map(([text, differs]) => make(differs ? 'mark' : 'span', '', text));
}

function shortened(pieces, most) {
  const kept = [];
  for (const [text, differs] of pieces) {
    if (most <= 0) break;
    kept.push([text.slice(0, most), differs]);
    most -= text.length;
  }
  return kept;
}

function judgement({ judge, verdict, behaviour }) {
  const parts = [make('span', 'mx-judge', judge), make('span', `mx-score mx-score-${verdict}`, verdict)];
  return behaviour ? [...parts, spoken(make('span', 'mx-judged-behaviour'), [behaviour])] : parts;
}

function scores(card) {
  return (card.chips || []).map((chip) => {
    const shown = make('span', `mx-score mx-score-${chip.kind}`, chip.text);
    shown.title = chip.title;
    return shown;
  });
}

function actions(card) {
  const shown = [link('copy', 'Copy this text', 'copy')];
  if (card.label) shown.push(link('label', 'Label this vector', 'label'));
  if (card.save) shown.push(link('save as bank', 'Put the vectors of this curve on the shelf, where they can be labelled', 'save'));
  return shown;
}

// How many of the sampled texts do what.
const spread = ({ texts, counts }) => `of ${texts} seeds ${counts.map(([count, what]) => `${count} ${what}`).join(' · ')}`;

function build(card, lines, isCell) {
  const node = make(isCell ? 'div' : 'article', `mx-completion mx-kind-${card.kind}`);
  node.dataset.key = card.key;
  const head = make('div', 'mx-completion-head');
  if (!isCell) head.append(make('span', 'mx-completion-title', card.title), make('span', 'mx-completion-name', card.name || ''));
  head.append(make('span', 'mx-scores'));
  const body = make('div', 'mx-completion-text');
  body.dir = 'auto';
  if (!isCell) body.style.minHeight = `${lines * 1.5}em`;
  const foot = make('div', 'mx-completion-foot');
  foot.append(make('span', 'mx-completion-meta'), ...actions(card));
  node.append(head, make('div', 'mx-judged'), make('div', 'mx-flags'), make('div', 'mx-seeds mx-quiet'), body, foot);
  if (!isCell) node.append(make('div', 'mx-completion-origin'));
  return node;
}

// What made a text: whose vectors, and the prompt where it is not the one that the page's field has.
function origin(card, isPromptKnown) {
  const asked = even(card.asked || '');
  const prompt = isPromptKnown || !asked ? '' : `“${asked.length > 60 ? `${asked.slice(0, 59)}…` : asked}”`;
  return [card.origin, prompt].filter(Boolean).join(' · ');
}

function fill(node, card, { baseline, isPromptKnown, isCell } = {}) {
  const seen = JSON.stringify([card.pieces, card.meta, card.mark, card.name, card.chips, card.flags, card.judged, card.seeds, isPromptKnown, baseline]);
  if (node.seen === seen) return;
  node.seen = seen;
  node.querySelector('.mx-completion-meta').textContent = isCell ? card.meta.replace(/^R \S+ · /, '') : card.meta;
  node.querySelector('.mx-scores').replaceChildren(...scores(card));
  if (!isCell) {
    node.querySelector('.mx-completion-name').textContent = card.name || '';
    node.querySelector('.mx-completion-name').dir = 'auto';
    const made = node.querySelector('.mx-completion-origin');
    made.dir = 'auto';
    made.textContent = made.title = origin(card, isPromptKnown);
  }
  const judged = node.querySelector('.mx-judged');
  judged.title = card.judged?.title || '';
  judged.replaceChildren(...(card.judged ? judgement(card.judged) : []));
  node.querySelector('.mx-flags').replaceChildren(...(card.flags || []).map((flag) => {
    const shown = make('span', 'mx-flag', flag.text);
    shown.title = flag.title;
    return shown;
  }));
  node.querySelector('.mx-seeds').textContent = card.seeds ? spread(card.seeds) : '';
  node.dataset.mark = card.mark;
  const text = plain(card);
  node.dataset.same = String(card.kind !== 'baseline' && card.mark !== 'live' && baseline !== undefined && even(text) === baseline);
  const body = node.querySelector('.mx-completion-text');
  const isClipped = isCell && text.length > CLIPPED && !node.classList.contains('mx-whole');
  body.replaceChildren(...marked(isClipped ? shortened(card.pieces, LONG) : card.pieces));
  if (card.mark === 'live') body.append(make('span', 'mx-caret', '▍'));
  if (card.mark === 'cut' && (!isClipped || text.length <= LONG)) body.append(make('span', 'mx-cut', ' …'));
  node.querySelector('[data-action=more]')?.remove();
  if (isClipped) node.querySelector('.mx-completion-meta').after(link('more', 'Show all of this text here', 'more'));
  if (isCell) for (const one of node.querySelectorAll('button')) one.tabIndex = -1; // the inspector has them, too
}
