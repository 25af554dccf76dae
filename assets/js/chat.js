// A conversation: each message, and under it the answer with the vector beside the one without.
const HOW = 'Both columns answer the same messages, and each goes on from its own earlier answers: one from those with the '
  + 'vectors, the other from those without.';
const TITLES = ['with the vector', 'without'];
const head = make('div', 'mx-chat-heads');
head.append(...TITLES.map((title) => make('span', 'mx-chat-head', title)));
const how = make('p', 'mx-quiet mx-chat-how', HOW);
const list = make('div', 'mx-chat-turns');
const empty = make('p', 'mx-empty');
root.append(how, head, list, empty);
let drawn = new Map(); // by what they show, so that what is open or being edited stays so
let current = null; // the conversation that is shown
let isSought = false; // whether it is still to be scrolled to
let sought = null; // what was looked for: {conversation, turn, column, text}

const chosen = () => {
  const { vector = null, think = null } = melbo.state.chat ?? {};
  return { vector, think };
};
const conversation = () => current;

function link(words, title, action) {
  const node = make('button', 'mx-link', words);
  node.type = 'button';
  node.title = title;
  node.addEventListener('click', action);
  return node;
}

function pager({ versions, at }, what) {
  const node = make('span', 'mx-chat-pager');
  if (versions.length < 2) return node;
  const step = (words, by) => {
    const there = versions[at + by];
    const title = there === undefined ? `No ${by < 0 ? 'earlier' : 'later'} version` : `${what} ${at + by + 1} of ${versions.length}`;
    const button = link(words, title, () => trigger('branch', { conversation: conversation(), turn: there }));
    button.setAttribute('aria-label', title);
    button.disabled = there === undefined;
    return button;
  };
  node.append(step('‹', -1), make('span', '', `${at + 1}/${versions.length}`), step('›', 1));
  return node;
}

// Thoughts are folded; some templates begin them, so that only their end is written.
function parts(text) {
  const end = text.lastIndexOf('</think>');
  if (end >= 0) return [text.slice(0, end).replace(/^\s*<think>/, ''), text.slice(end + 8)];
  const begun = text.match(/^\s*<think>([\s\S]*)$/);
  return begun ? [begun[1], ''] : ['', text];
}

function answer(column) {
  const card = make('article', `mx-completion mx-chat-answer ${column ? 'mx-kind-baseline' : 'mx-kind-vector'}`);
  const thoughts = make('details', 'mx-chat-thoughts');
  const thought = auto('div', 'mx-chat-thought');
  thoughts.append(make('summary', '', 'thoughts'), thought);
  const words = auto('div', 'mx-completion-text mx-chat-text');
  const scores = make('div', 'mx-chat-scores');
  const foot = make('p', 'mx-chat-stamp');
  card.append(thoughts, words, scores, foot);
  return {
    card,
    fill({ id, texts, stamps, about, ends, chips, flags, live }) {
      const [inner, outer] = parts(texts[column]);
      const wanted = sought && sought.turn === id && sought.column === column ? sought.text : '';
      const [inside, outside] = [inner.trim(), outer.trim()].map((text) => (wanted && soughtIn(text, wanted)) || null);
      thought.replaceChildren(...(inside || [inner.trim()]));
      thoughts.hidden = !inner.trim();
      if (inside) thoughts.open = true;
      words.replaceChildren(...(outside || [outer.trim() || (live ? '…' : inner.trim() ? '' : '(it says nothing)')]));
      words.classList.toggle('mx-faint', !outer.trim());
      scores.replaceChildren(...chips[column].map((chip) => titled(`mx-score mx-score-${chip.kind}`, chip)), ...flags[column].map((flag) => titled('mx-flag', flag)));
      foot.textContent = [stamps[column], ends[column]].filter(Boolean).join(' · ');
      foot.title = about;
      card.dataset.mark = live ? 'live' : ends[column] ? 'cut' : 'finished';
    },
  };
}

function titled(cls, { text, title }) {
  const node = make('span', cls, text);
  node.title = title;
  return node;
}

function field(text, send, cancel) {
  const box = make('textarea', 'mx-chat-field');
  box.value = text;
  box.dir = 'auto';
  box.rows = Math.min(8, text.split('\n').length + 1);
  box.setAttribute('aria-label', 'The message, edited');
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') cancel();
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send(box.value);
  });
  return box;
}

function message(item) {
  const { id, text } = item.message;
  const node = make('div', 'mx-chat-message');
  const words = auto('div', 'mx-chat-said', text);
  const tools = make('div', 'mx-chat-tools');
  const edit = link('edit', 'Write this message anew; what followed on it stays on a branch of its own', () => {
    const close = () => { node.replaceChildren(words, tools); edit.focus(); };
    const send = (now) => {
      if (!now.trim() || now === text) return close();
      close();
      trigger('say', { conversation: conversation(), parent: item.parent, message: null, text: now, ...chosen() });
    };
    const box = field(text, send, close);
    const row = make('div', 'mx-chat-tools');
    row.append(link('send', 'Enter', () => send(box.value)), link('cancel', 'Esc', close));
    node.replaceChildren(box, row);
    box.focus();
  });
  tools.append(pager(item.message, 'Message'));
  if (id !== null) tools.append(edit);
  node.append(words, tools);
  return node;
}

function turn(item) {
  const node = make('section', 'mx-chat-turn');
  node.append(message(item));
  const again = () => trigger('say', { conversation: conversation(), parent: null, message: item.message.id, text: null, ...chosen() });
  if (!item.answer) {
    const none = make('p', 'mx-quiet mx-chat-none', 'No answer yet. ');
    none.append(link('Answer it', 'With the vector and R that are chosen now', again));
    node.append(none);
    return { node };
  }
  const both = make('div', 'mx-chat-answers');
  const columns = [answer(0), answer(1)];
  both.append(...columns.map(({ card }) => card));
  const tools = make('div', 'mx-chat-tools');
  if (item.answer.id !== null) {
    tools.append(
      pager(item.answer, 'Answer'),
      link('answer again', 'With the vector and R that are chosen now, and a new seed; this answer stays', again),
      link('fork', 'A new conversation that begins with everything up to here', () => {
        trigger('fork', { conversation: conversation(), turn: item.answer.id });
      }),
    );
  }
  node.append(both, tools);
  return { node, columns, id: item.answer.id };
}

// To what was looked for, once the room is there.
function lead() {
  if (!isSought || !root.offsetParent) return;
  isSought = false;
  const there = list.querySelector('mark.mx-sought') ?? [...drawn.values()].find(({ id }) => id === sought?.turn)?.node;
  there?.scrollIntoView({ block: 'center' });
}
new ResizeObserver(lead).observe(root);

function key(item) { // a growing text is drawn into its place
  return JSON.stringify(item.answer?.live ? ['live', item.message.text] : item);
}

show(({ conversation: id, turns = [], message: words = '', live = false, kept = false, sought: found = null, asked }) => {
  if (asked !== undefined && asked !== (melbo.state.chat?.conversation ?? null)) return; // another one was opened meanwhile
  const many = list.children.length;
  const follows = !many || list.lastChild.getBoundingClientRect().bottom < window.innerHeight + 120;
  const isOther = id !== undefined && id !== melbo.state.chat?.conversation;
  current = id ?? null;
  if (found) sought = { ...found, conversation: id };
  else if (live || sought?.conversation !== current) sought = null;
  const now = new Map();
  turns.forEach((item, at) => {
    const name = `${at} ${id} ${key(item)}`;
    const made = drawn.get(name) ?? turn(item);
    made.columns?.forEach((column) => column.fill(item.answer));
    now.set(name, made);
  });
  const nodes = [...now.values()].map(({ node }) => node);
  if (nodes.length !== list.children.length || nodes.some((node, at) => node !== list.children[at])) list.replaceChildren(...nodes);
  drawn = now;
  head.hidden = how.hidden = !turns.length;
  empty.hidden = Boolean(turns.length);
  empty.textContent = words;
  if (live) document.body.dataset.chatting = kept ? 'kept' : 'asked';
  else delete document.body.dataset.chatting;
  const last = turns.at(-1)?.answer?.id ?? null;
  const parent = last ?? turns.at(-1)?.parent ?? null;
  const before = melbo.state.chat;
  if (id !== undefined && (!live || id !== null)) melbo.select({ chat: { ...before, conversation: id, parent } });
  if (found) {
    isSought = true;
    lead();
  } else if (isOther || (live && (follows || turns.length > many))) list.lastChild?.scrollIntoView({ block: 'nearest' });
});
