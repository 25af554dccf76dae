// Buttons for the room's views, two of which can be side by side. It also tells the server which view was opened.
const ROOM = 'read';
const group = make('div', 'mx-view-switch');
group.setAttribute('role', 'group');
group.setAttribute('aria-label', 'Views');
const together = make('button', 'mx-link', 'side by side');
together.type = 'button';
together.id = 'side-by-side';
together.title = 'Show two views at once: the last two that were chosen';
root.append(group, together);
root.classList.add('mx-view-bar');
const state = () => melbo.state;
const rooms = () => props.value.rooms;
const views = (room) => state().views?.[room] ?? rooms()[room].slice(0, 1);
let seen = '';

function choose(view) {
  const now = views(ROOM);
  const next = now.length > 1 && !now.includes(view) ? [now.at(-1), view] : [view];
  melbo.select({ views: { ...state().views, [ROOM]: next } });
}

together.addEventListener('click', () => {
  const now = views(ROOM);
  const other = rooms()[ROOM].find((view) => !now.includes(view));
  melbo.select({ views: { ...state().views, [ROOM]: now.length > 1 ? now.slice(0, 1) : [...now, other] } });
});

function paint() {
  const now = views(ROOM);
  document.body.dataset.shown = now.join(' ');
  document.body.dataset.found = views('find')[0];
  together.setAttribute('aria-pressed', now.length > 1 ? 'true' : 'false');
  for (const node of group.children) node.setAttribute('aria-pressed', now.includes(node.dataset.view) ? 'true' : 'false');
}

function tell() {
  const room = state().room ?? 'start';
  const open = rooms()[room].length ? views(room) : [room];
  const key = [room, ...open].join(' ');
  if (key === seen) return;
  const before = seen.split(' ');
  seen = key;
  const first = before[0] !== room ? open : open.filter((view) => !before.includes(view, 1));
  for (const view of first) trigger(`${view}_opened`, {});
}

melbo.subscribe(element, (now, changed) => {
  if (!changed.has('room') && !changed.has('views')) return;
  paint();
  tell();
});

show((value) => {
  if (!group.children.length) {
    group.append(...value.views.map(({ view, title }) => {
      const node = make('button', 'mx-view-button', title);
      node.type = 'button';
      node.dataset.view = view;
      node.addEventListener('click', () => choose(view));
      return node;
    }));
  }
  if (value.shown) { // the server opens a view
    const room = Object.keys(rooms()).find((name) => name === value.shown || rooms()[name].includes(value.shown));
    props.value = { ...value, shown: null };
    if (room === ROOM && !views(ROOM).includes(value.shown)) choose(value.shown);
    melbo.select({ room, views: room === ROOM || room === value.shown ? state().views : { ...state().views, [room]: [value.shown] } });
  }
  paint();
  setTimeout(tell); // the others are drawn by then
});
