// Stages of an exploration while they run, and the behaviours that were found.
const STATES = { waiting: 'waiting', running: 'running', done: 'done' };
const stages = make('ol', 'mx-stages');
const sentence = make('p', 'mx-sentence');
const facts = make('p', 'mx-quiet');
const cards = make('div', 'mx-completions mx-behaviours');
const aside = make('div', 'mx-aside');
const empty = make('p', 'mx-empty');
root.append(stages, sentence, facts, cards, aside, empty);

function button(text, title, data) {
  const node = make('button', 'mx-link', text);
  node.type = 'button';
  node.title = title;
  Object.assign(node.dataset, data);
  return node;
}

function stage(one) {
  const node = make('li', 'mx-stage');
  node.dataset.state = one.state;
  const bar = make('progress', 'mx-progress-bar');
  bar.max = 1;
  bar.value = one.fraction || 0;
  bar.setAttribute('aria-label', one.name);
  const told = make('span', 'mx-stage-told', one.told || (one.state === 'waiting' ? 'waiting' : ''));
  told.title = one.told || '';
  node.append(make('span', 'mx-stage-mark', { waiting: '○', running: '◐', done: '●' }[one.state]));
  node.append(make('span', 'mx-stage-name', one.name));
  if (one.state === 'running') node.append(bar);
  node.append(told, make('span', 'mx-hidden', STATES[one.state]));
  return node;
}

function labels(vectors) {
  const row = make('span', 'mx-behaviour-vectors', 'label');
  row.append(...vectors.map((one) => button(
    one.name ? `${one.vector} · ${one.name}` : String(one.vector), `Label vector ${one.vector}`, { vector: one.vector },
  )));
  return row;
}

function card(one, at) {
  const node = make('article', `mx-completion mx-behaviour ${one.unsteered ? 'mx-kind-baseline' : 'mx-kind-vector'}`);
  const head = make('div', 'mx-completion-head');
  head.append(make('h3', 'mx-behaviour-name', one.name));
  if (one.verdict) {
    const verdict = make('span', 'mx-scores');
    verdict.append(make('span', `mx-score mx-score-${one.verdict}`, one.verdict));
    head.append(verdict);
  }
  const flags = make('div', 'mx-flags');
  flags.append(...one.flags.map((flag) => {
    const shown = make('span', 'mx-flag', flag.text);
    shown.title = flag.title;
    return shown;
  }));
  const foot = make('div', 'mx-completion-foot');
  foot.append(labels(one.vectors), button('open in Completions', 'All texts, with these vectors chosen at the left', { open: at }));
  node.append(head, make('div', 'mx-behaviour-meta', `${one.meta} · ${one.said}:`), flags);
  node.append(make('div', 'mx-completion-text', one.text), foot);
  return node;
}

function draw(value) {
  stages.replaceChildren(...(value.stages || []).map(stage));
  sentence.textContent = value.sentence || '';
  facts.textContent = value.facts || '';
  empty.textContent = value.message || '';
  const found = (value.cards || []).map(card);
  if (value.sentence && !(value.cards || []).some((one) => one.unsteered)) {
    const plain = make('article', 'mx-completion mx-kind-baseline');
    const head = make('div', 'mx-completion-head');
    head.append(make('h3', 'mx-behaviour-name', 'without steering'));
    plain.append(head, make('div', 'mx-behaviour-meta', 'no vector leaves it as it is:'));
    plain.append(make('div', 'mx-completion-text', value.baseline));
    found.push(plain);
  }
  cards.replaceChildren(...found);
  aside.replaceChildren();
  if (!(value.aside || []).length) return;
  aside.append(make('h3', 'mx-group-title', 'Set aside'));
  aside.append(...value.aside.map((one) => {
    const line = make('details', 'mx-aside-line');
    line.append(make('summary', '', `Vector ${one.vector}: ${one.reason}`));
    line.append(make('div', 'mx-completion-text', one.text), labels([{ vector: one.vector }]));
    return line;
  }));
}

root.addEventListener('click', (event) => {
  const { vector, open } = event.target.dataset;
  const { bank, bank_hash: hash, cards: all } = props.value;
  if (vector !== undefined) trigger('annotate', { bank, bank_hash: hash, vector: Number(vector) });
  if (open !== undefined) trigger('open', { vectors: all[Number(open)].vectors.map((one) => one.vector) });
});
show(draw);
