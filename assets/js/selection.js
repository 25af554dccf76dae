// What this window shows: one object that every component reads and changes, and that is the page's address.
//
//   melbo.state      {room, views: {room: [view]}, run, bank, bank_hash, vectors, radius, cell: {vector, radius, prompt}, prompt, system,
//                    template, scope, decoding, model}
//   melbo.select(change, source)   merges a change, and calls every subscriber but the source
//   melbo.subscribe(source, fn)    calls fn(state, changed) after a change; `changed` is a set of keys
//   melbo.restored()               what the page should show when it opens, for the server
//
// The window's own storage keeps it over a reload; the browser's keeps what a new window begins with.
window.melbo = (() => {
  const KEY = 'melbo-window';
  const MINE = ['room', 'view', 'run', 'bank', 'v', 'R']; // the names in the address that belong to the page
  const subscribers = new Map();

  function kept(storage) {
    try { return JSON.parse(storage().getItem(KEY)); } catch { return null; } // private windows may refuse
  }

  function address() {
    const query = new URLSearchParams(location.search);
    const number = (name) => (query.has(name) && Number.isFinite(Number(query.get(name))) ? Number(query.get(name)) : undefined);
    const vectors = query.get('v')?.split(',').filter((word) => /^\d+$/.test(word)).map(Number);
    const [room, view] = [query.get('room'), query.get('view')?.split(',')];
    const views = room && view ? { [room]: view } : undefined;
    const found = { room, views, run: number('run'), bank: query.get('bank'), vectors, radius: number('R') };
    return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined && value !== null));
  }

  function query(state) {
    const { room, views, run, bank, vectors, radius } = state;
    const words = { room, view: views?.[room]?.join(','), run, bank, v: vectors?.length ? vectors.join(',') : undefined, R: radius };
    const now = new URLSearchParams(location.search);
    for (const name of MINE) now.delete(name);
    for (const [name, value] of Object.entries(words)) if (value !== undefined && value !== null && value !== '') now.set(name, value);
    return now.size ? `?${now.toString().replaceAll('%2C', ',')}` : '';
  }

  const own = kept(() => sessionStorage);
  const asked = address();
  const before = own ?? kept(() => localStorage) ?? {};
  // A reload shows the window's own state; another address, a link that somebody sent, comes before it.
  const fromLink = Object.keys(asked).length > 0 && !(own && query(own) === location.search);
  let state = { ...before, ...(fromLink ? asked : {}) };
  let waiting = setTimeout(() => write(), 1000); // a window that was just opened has an address, too

  function write() {
    clearTimeout(waiting);
    waiting = null;
    try {
      sessionStorage.setItem(KEY, JSON.stringify(state));
      localStorage.setItem(KEY, JSON.stringify(state));
    } catch { /* private windows may refuse */ }
    history.replaceState(history.state, '', `${location.pathname}${query(state)}${location.hash}`);
  }

  function same(one, other) { return JSON.stringify(one ?? null) === JSON.stringify(other ?? null); }

  function select(change, source) {
    const changed = new Set(Object.keys(change).filter((key) => !same(change[key], state[key])));
    if (!changed.size) return;
    state = { ...state, ...change };
    clearTimeout(waiting);
    waiting = setTimeout(write, 60);
    for (const [who, fn] of subscribers) if (who !== source) fn(state, changed);
  }

  window.addEventListener('pagehide', () => { if (waiting) write(); });
  return {
    get state() { return state; },
    select,
    subscribe(source, fn) { subscribers.set(source, fn); },
    restored: () => ({ ...state, asked: fromLink ? asked : null }),
  };
})();
