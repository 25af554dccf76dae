// The name under which this browser labels: asked once, kept in a cookie that each request carries, and changeable.
const COOKIE = 'melbo_annotator';
const NEWS = 'melbo-annotator';
const YEAR = 31536000;
const line = make('form', 'mx-annotator');
root.append(line);
let asking = false;

function kept() {
  const found = document.cookie.split('; ').find((one) => one.startsWith(`${COOKIE}=`));
  if (!found) return null; // nobody was asked yet
  try { return decodeURIComponent(found.slice(COOKIE.length + 1)); } catch { return ''; }
}

function keep(name) {
  const safe = location.protocol === 'https:' ? '; secure' : '';
  document.cookie = `${COOKIE}=${encodeURIComponent(name)}; max-age=${YEAR}; samesite=lax${safe}`;
  try { localStorage.setItem(NEWS, String(Date.now())); } catch { /* private windows may refuse */ }
}

function button(text, action, press) {
  const node = make('button', 'mx-link', text);
  node.type = press ? 'button' : 'submit';
  node.dataset.action = action;
  if (press) node.addEventListener('click', press);
  return node;
}

function paint() {
  const name = kept();
  if (name !== null && !asking) {
    const said = make('span', 'mx-quiet', name ? 'You label as ' : 'You label without a name. ');
    const own = auto('b', 'mx-annotator-own', name);
    return line.replaceChildren(said, own, button(name ? 'change' : 'give one', 'change', ask));
  }
  const field = auto('input', 'mx-annotator-field');
  field.value = name || '';
  field.placeholder = 'your name';
  field.setAttribute('aria-label', 'Your name');
  const why = 'Do several people label here? With a name your labels are your own, and you see the others’ once you have saved yours.';
  const without = button('label without a name', 'nameless', () => trigger('named', { name: '' }));
  line.replaceChildren(make('span', 'mx-quiet', name === null ? why : ''), field, button('use this name', 'use'), without);
}

function ask() {
  asking = true;
  paint();
  line.querySelector('input').focus();
}

line.addEventListener('submit', (event) => {
  event.preventDefault();
  trigger('named', { name: line.querySelector('input').value });
});
line.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || kept() === null) return;
  asking = false;
  paint();
});
window.addEventListener(NEWS, paint); // the same in another room
window.addEventListener('storage', (event) => { // the same in another window
  if (event.key !== NEWS) return;
  paint();
  if (element.offsetParent !== null) trigger('changed');
});

show(({ name, at }) => {
  const done = (window.melboNamed ??= new Set());
  if (at && !done.has(at)) {
    done.add(at);
    asking = false;
    keep(name);
    window.dispatchEvent(new Event(NEWS));
    trigger('changed');
  } else paint();
});
