// The header: the rooms, the jobs, the model, a link to what is shown, the keys, light or dark.
const LETTERS = { start: 's', find: 'f', read: 'r', label: 'l', library: 'b', audit: 'a' }; // after g
const KEYS = [
  ['g then s, f, r, l, b, a', 'Start, Find, Read, Label, Library, Audit'],
  ['p', 'write the prompt'],
  ['v', 'show or hide the vectors'],
  ['f', 'in Find: show or hide the form'],
  ['j', 'show or hide the jobs'],
  ['Ctrl + Enter', 'steer; in Label: save and go on'],
  ['← →', 'on R: less or more; in the grid: the next text'],
  ['Enter, Shift + Enter', 'in Chat: send, a new line'],
  ['1 to 5, s, u', 'in Label: rate, skip, undo'],
  ['Alt+1 to 5', 'in Label: rate while you write'],
  ['?', 'these keys'],
  ['Esc', 'close what is open'],
];
const bar = make('header', 'mx-header');
const title = make('h1', 'mx-title', 'MELBO Explorer');
const nav = make('nav', 'mx-rooms');
nav.setAttribute('aria-label', 'Rooms');
const model = make('span', 'mx-chip');
model.id = 'model-chip';
model.setAttribute('role', 'status');
const job = make('span', 'mx-chip mx-chip-job');
job.id = 'job-chip';
job.setAttribute('role', 'status');
const fill = make('span', 'mx-chip-fill');
const jobText = make('span', 'mx-chip-text');
job.append(fill, jobText);

function tool(id, text, title, action) {
  const node = make('button', 'mx-icon-button', text);
  node.id = id;
  node.type = 'button';
  node.title = title;
  node.setAttribute('aria-label', title);
  node.addEventListener('click', action);
  return node;
}

const jobs = tool('jobs-toggle', 'Jobs', 'Jobs: what runs, waits and ended (j)', () => tray(!document.body.classList.contains('mx-tray-open')));
jobs.setAttribute('aria-expanded', 'false');
const share = tool('share', 'Share', 'Copy a link to what this window shows', async () => {
  await navigator.clipboard.writeText(location.href);
  share.textContent = 'copied';
  setTimeout(() => { share.textContent = 'Share'; }, 1500);
});
const help = tool('help', '?', 'All keys (?)', () => keys.showModal());
const theme = tool('theme-toggle', '◐', 'Switch between light and dark', () => {
  const dark = document.body.classList.toggle('dark');
  try { localStorage.setItem('melbo-theme', dark ? 'dark' : 'light'); } catch { /* private windows may refuse */ }
});
for (const words of [jobs, share]) words.classList.add('mx-word-button');

const keys = make('dialog', 'mx mx-keys');
keys.setAttribute('aria-label', 'Keys');
const list = make('dl');
list.append(...KEYS.flatMap(([key, does]) => [make('dt', '', key), make('dd', '', does)]));
const close = make('button', 'mx-link', 'close');
close.type = 'button';
close.addEventListener('click', () => keys.close());
keys.append(make('h2', 'mx-keys-title', 'Keys'), list, close);
keys.addEventListener('click', (event) => { if (event.target === keys) keys.close(); });

const tools = make('div', 'mx-tools');
tools.append(job, model, jobs, share, help, theme); // messages appear over the model's chip, at the right
bar.append(title, nav, tools);
root.append(bar, keys);

function tray(open) {
  document.body.classList.toggle('mx-tray-open', open);
  jobs.setAttribute('aria-expanded', open ? 'true' : 'false');
  if (open) trigger('jobs', {});
}

function go(room, view) {
  const asked = { room, view: view ?? melbo.state.views?.[room]?.[0] };
  props.value = { ...props.value, ...asked }; // an event of the browser alone gets the value
  melbo.select({ room });
  trigger('go', asked);
}

function paint() {
  const { room } = melbo.state;
  document.body.dataset.room = room;
  for (const node of nav.children) node.toggleAttribute('aria-current', node.dataset.room === room);
  nav.querySelector('[aria-current]')?.setAttribute('aria-current', 'page');
}

melbo.go = go;
melbo.subscribe(element, (state, changed) => { if (changed.has('room')) paint(); });

document.addEventListener('pointerdown', (event) => {
  if (jobs.getAttribute('aria-expanded') === 'true' && !event.target.closest('#jobs-tray, #jobs-toggle')) tray(false);
});

let after = ''; // the key before
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') tray(false);
  const writing = event.target.closest?.('input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]');
  if (writing || event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  const [before, key] = [after, event.key];
  after = before === 'g' ? '' : key;
  const room = before === 'g' && Object.keys(LETTERS).find((name) => LETTERS[name] === key);
  const does = {
    '?': () => keys.showModal(), j: () => jobs.click(), v: () => document.getElementById('vectors-toggle')?.click(),
    p: () => document.querySelector('#prompt textarea')?.focus(),
    f: () => document.getElementById('form-open')?.click(),
  }[key];
  if (!room && (!does || before === 'g')) return;
  event.preventDefault();
  event.stopPropagation();
  if (room) go(room);
  else does();
}, true);

show((value) => {
  if (!nav.children.length && value.rooms) {
    nav.append(...value.rooms.map(({ room, title: said }) => {
      const node = make('button', 'mx-room', said);
      node.type = 'button';
      node.dataset.room = room;
      node.title = `${said} (g ${LETTERS[room]})`;
      node.addEventListener('click', () => go(room));
      return node;
    }));
    const known = value.rooms.map(({ room }) => room);
    if (!known.includes(melbo.state.room)) melbo.select({ room: 'start' });
    paint();
    setTimeout(() => { if (melbo.state.room !== 'start') go(melbo.state.room); });
  }
  model.textContent = value.model || 'no model';
  model.dataset.state = value.model_state || 'none';
  model.title = value.model_title || value.model || '';
  job.hidden = !value.job;
  job.dataset.state = value.job_state || '';
  jobText.textContent = value.job || '';
  jobs.textContent = value.jobs ? `Jobs ${value.jobs}` : 'Jobs';
  fill.style.width = `${Math.round(100 * (value.job_fraction || 0))}%`;
  if (value.model_hash) melbo.select({ model: value.model_hash }, element);
});
