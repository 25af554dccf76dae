// How far labelling is; and the keys of the room, which press its buttons. Enter and Control+Enter save and go on.
const line = make('div', 'mx-labelling');
const bar = make('progress', 'mx-progress-bar');
bar.setAttribute('aria-hidden', 'true');
const words = make('span', 'mx-labelling-words');
words.setAttribute('role', 'status');
line.append(bar, words);
root.append(line);

const ROOM = '#label-room';
const TEXT = 'textarea, select, [contenteditable=true], input:not([type=radio], [type=checkbox], [type=button])';
let busy = null; // while an answer is awaited: what was typed into the name meanwhile
let giveUp = 0;

const room = () => element.closest(ROOM);
const isOpen = () => element.isConnected && element.offsetParent !== null;
const press = (id) => document.getElementById(id)?.click();
const rate = (stars) => document.querySelectorAll('#label-rating input')[Number(stars)]?.click();
const nameField = () => room().querySelector('#label-name input, #label-name textarea');

function ready() {
  clearTimeout(giveUp);
  const typed = busy;
  busy = null;
  if (typed) setTimeout(() => {
    const field = nameField();
    if (document.activeElement !== field) return;
    field.setSelectionRange(field.value.length, field.value.length);
    document.execCommand('insertText', false, typed);
  }, 60); // after the next label's name has been filled in
}

function goOn(field) {
  busy = '';
  giveUp = setTimeout(ready, 5000);
  nameField().focus();
  if (field?.closest('#label-tags') && field.value) { // a tag that is still being written
    field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
    setTimeout(() => press('label-save-next'), 80);
  } else press('label-save-next');
}

function later(event) {
  const { key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return key === 'Enter';
  if (key === 'Enter') return true;
  if (event.target !== nameField()) return false;
  if (key === 'Backspace') busy = busy.slice(0, -1);
  else if (key.length === 1) busy += key;
  else return false;
  return true;
}

// true: the key is dealt with, and nothing else on the page may act on it
function act(event) {
  const { key, target } = event;
  const inside = room().contains(target);
  const mine = inside || target === document.body || target.closest?.('.mx-room');
  const writing = target.matches?.(TEXT);
  const command = event.ctrlKey || event.metaKey;
  if (event.isComposing) return false;
  if (busy !== null && mine) return later(event);
  if (key === 'Enter' && command) {
    if (mine && !event.repeat) goOn(target);
    return true;
  }
  if (event.altKey && !command && mine && /^Digit[1-5]$/.test(event.code)) { // on a Mac, Alt turns the digit into another character
    rate(event.code.at(-1));
    return true;
  }
  if (command || event.altKey || !mine) return false;
  if (key === 'Enter' && target === nameField()) {
    if (event.repeat) return true;
    if (event.shiftKey) press('label-save');
    else goOn(target);
    return true;
  }
  if (key === 'Escape' && writing && inside) {
    room().focus({ preventScroll: true });
    return true;
  }
  if (writing || event.repeat) return false;
  if (/^[1-5]$/.test(key)) {
    rate(key);
    return true;
  }
  const button = { s: 'label-skip', u: 'label-undo' }[key.toLowerCase()];
  if (button) press(button);
  return Boolean(button);
}

// Before anything else on the page: Control+Enter steers in every other room.
document.addEventListener('keydown', function keys(event) {
  if (!element.isConnected) return document.removeEventListener('keydown', keys, true);
  if (!isOpen() || !act(event)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);

room()?.setAttribute('tabindex', '-1'); // a click beside the fields leaves them, and the keys work

window.melbo?.subscribe(element, ({ cell }, changed) => {
  const vector = cell?.vector;
  if (isOpen() && changed.has('cell') && Number.isInteger(vector) && vector !== props.value.vector) trigger('go', { key: vector });
});

show(({ done = 0, total = 0, said = '', of = '', vector, radius }) => {
  bar.max = total || 1;
  bar.value = done;
  words.textContent = said || (total ? `${done} of ${total} labelled` : '');
  line.dataset.of = of;
  if (isOpen() && total) window.melbo?.select({ cell: { vector, radius } }, element);
  ready();
});
