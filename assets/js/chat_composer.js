// Where the next message is written; the vector, R and thinking that its answer gets.
const NONE = 'none';
const box = make('textarea', 'mx-chat-field');
box.id = 'chat-message';
box.rows = 2;
box.dir = 'auto';
box.placeholder = 'A message. Enter sends it, Shift + Enter begins a new line.';
box.setAttribute('aria-label', 'Message');
const row = make('div', 'mx-chat-row');
const label = make('label', 'mx-chat-choice', 'Vector');
const select = make('select', 'mx-chat-select');
select.id = 'chat-vector';
label.append(select);
const radius = make('span', 'mx-chat-radius');
radius.title = 'R as it is set above; negative R is the opposite direction';
const think = make('label', 'mx-switch mx-chat-think', 'think');
const thinking = make('input');
Object.assign(thinking, { type: 'checkbox', id: 'chat-think' });
think.title = 'Whether the model thinks before it answers; its template offers the choice';
think.prepend(thinking);
const rest = make('span', 'mx-quiet mx-chat-rest');
const button = (id, words, action) => {
  const node = make('button', 'mx-chat-button', words);
  Object.assign(node, { id, type: 'button' });
  node.addEventListener('click', action);
  return node;
};
const send = button('chat-send', 'Send', () => say());
const stop = button('chat-stop', 'Stop', () => trigger('stop', {}));
const why = make('p', 'mx-quiet mx-chat-why');
row.append(label, radius, think, rest, send, stop);
root.append(why, box, row);
root.classList.add('mx-chat-composer');
let sent = ''; // until it is known to be kept

const state = () => melbo.state.chat ?? {};
const remember = (change) => melbo.select({ chat: { ...state(), ...change } }, element);
const writing = () => document.body.dataset.chatting !== undefined;

function say() {
  const text = box.value;
  if (!text.trim() || writing() || send.disabled) return;
  sent = text;
  box.value = '';
  remember({ draft: '' });
  const { conversation = null, parent = null, vector = null, think: on = null } = state();
  trigger('say', { conversation, parent, message: null, text, vector, think: on });
}

box.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault(); // also for Ctrl + Enter, which steers elsewhere
  say();
});
box.addEventListener('input', () => remember({ draft: box.value }));
select.addEventListener('change', () => {
  remember({ vector: select.value === NONE ? null : Number(select.value), bank: props.value.bank });
  paint();
});
thinking.addEventListener('change', () => remember({ think: thinking.checked }));
document.addEventListener('focusin', (event) => { if (event.target === box) box.scrollIntoView({ block: 'nearest' }); });

function paint() {
  const { radius: now, decoding, system } = melbo.state;
  const { vector = null } = state();
  radius.textContent = Number.isFinite(now) ? `R ${number(now, 4)}` : '';
  radius.hidden = vector === null;
  const greedy = decoding && !decoding.temperature;
  const words = decoding ? [`${greedy ? 'greedy' : `sampled at ${number(decoding.temperature)}`}, up to ${decoding.max_new_tokens} tokens (set in Grid)`] : [];
  if (system?.trim()) words.push('with the system text');
  rest.textContent = words.join(' · ');
  send.hidden = writing();
  stop.hidden = !writing();
  if (document.body.dataset.chatting === 'kept') sent = '';
}

melbo.subscribe(element, (now, changed) => {
  if (changed.has('chatFailed') && sent && !box.value) {
    box.value = sent;
    sent = '';
    remember({ draft: box.value });
  }
  if (['radius', 'decoding', 'system', 'chat', 'chatFailed'].some((name) => changed.has(name))) paint();
});
new MutationObserver(paint).observe(document.body, { attributeFilter: ['data-chatting'] });

show(({ bank = null, vectors = [], thinks = false, why: words = '' }) => {
  const kept = state();
  const known = vectors.map(({ vector }) => vector);
  const first = (melbo.state.vectors ?? []).find((vector) => known.includes(vector)) ?? known[0] ?? null;
  const wanted = kept.bank === bank && (kept.vector === null || known.includes(kept.vector)) ? kept.vector : first;
  const choice = (value, text) => {
    const node = make('option', '', text);
    node.value = value;
    return node;
  };
  select.replaceChildren(choice(NONE, 'none'), ...vectors.map(({ vector, name }) => choice(String(vector), name)));
  select.value = wanted === null || wanted === undefined ? NONE : String(wanted);
  think.hidden = !thinks;
  thinking.checked = kept.think ?? true;
  why.textContent = words;
  why.hidden = !words;
  send.disabled = box.disabled = Boolean(words);
  if (!box.value && kept.draft) box.value = kept.draft;
  remember({ vector: wanted ?? null, bank, think: thinks ? thinking.checked : null });
  paint();
});
