// The kept conversations: open, begin, rename, delete.
const fresh = make('button', 'mx-chat-button', 'New conversation');
fresh.type = 'button';
fresh.id = 'chat-new';
fresh.addEventListener('click', () => { if (!writing()) trigger('fresh', {}); });
const list = make('ul', 'mx-chat-list');
const none = make('p', 'mx-quiet', 'Nothing is kept yet.');
root.append(fresh, list, none);
const writing = () => document.body.dataset.chatting !== undefined;

function link(words, title, action) {
  const node = make('button', 'mx-link', words);
  node.type = 'button';
  node.title = title;
  node.addEventListener('click', action);
  return node;
}

function line({ id, title, when }) {
  const node = make('li', 'mx-chat-line');
  node.dataset.conversation = id;
  const open = make('button', 'mx-chat-open');
  open.type = 'button';
  open.append(auto('span', 'mx-chat-title', title), make('span', 'mx-quiet', when));
  open.addEventListener('click', () => { if (!writing()) trigger('open', { conversation: id }); });
  const tools = make('div', 'mx-chat-tools');
  const rest = () => node.replaceChildren(open, tools);
  const rename = link('rename', 'Another title', () => {
    const box = make('input', 'mx-chat-field');
    box.value = title;
    box.dir = 'auto';
    box.setAttribute('aria-label', 'Title');
    box.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') rest();
      if (event.key !== 'Enter') return;
      event.preventDefault();
      trigger('rename', { conversation: id, title: box.value });
    });
    const row = make('div', 'mx-chat-tools');
    row.append(link('save', 'Enter', () => trigger('rename', { conversation: id, title: box.value })), link('cancel', 'Esc', rest));
    node.replaceChildren(box, row);
    box.focus();
  });
  const remove = link('delete', 'Delete the conversation with all its branches', () => {
    const row = make('div', 'mx-chat-tools');
    row.append(make('span', '', 'Delete it for good?'), link('delete', 'It cannot be undone', () => trigger('remove', { conversation: id })), link('keep', 'Esc', rest));
    node.replaceChildren(open, row);
    row.lastChild.focus();
  });
  tools.append(rename, remove);
  rest();
  return node;
}

function paint() {
  const now = melbo.state.chat?.conversation;
  for (const node of list.children) node.toggleAttribute('data-open', Number(node.dataset.conversation) === now);
}

melbo.subscribe(element, (now, changed) => { if (changed.has('chat')) paint(); });

show(({ conversations = [] }) => {
  list.replaceChildren(...conversations.map(line));
  none.hidden = Boolean(conversations.length);
  paint();
});
