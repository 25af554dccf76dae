// Says what made the result below, where that differs from the context line, and offers both ways out.
const strip = make('div', 'mx-stamp');
strip.setAttribute('role', 'status');
const words = make('span', 'mx-stamp-words');
const restore = make('button', 'mx-link', 'Restore those');
const again = make('button', 'mx-link', 'Run with the current ones');
restore.type = again.type = 'button';
restore.title = 'Put the prompt, bank, R and decoding of this result into the context line';
again.title = 'Make this result anew with what the context line shows';
strip.append(words, restore, again);
root.append(strip);
const close = (one, other) => Math.abs(one - other) <= 0.005 * Math.max(Math.abs(one), Math.abs(other));
const plain = (text) => (text ?? '').replace(/\r\n?/g, '\n').trim();

function line(text) {
  const flat = text.replace(/\s+/g, ' ').trim();
  return flat.length > 60 ? `${flat.slice(0, 59)}…` : flat;
}

function decoding({ max_new_tokens: tokens, temperature, top_p: p, seed }) {
  return temperature ? `${tokens} tokens sampled at temperature ${number(temperature)}, top-p ${number(p)}, seed ${seed}` : `${tokens} tokens, greedy`;
}

function differences(stamp, now) {
  const parts = [];
  if (stamp.model_hash && now.model && stamp.model_hash !== now.model) parts.push(`model ${stamp.model || 'another one'}`);
  if (stamp.bank_hash && stamp.bank_hash !== now.bank_hash) {
    parts.push(stamp.bank && stamp.bank === now.bank ? `an earlier bank “${stamp.bank}”` : stamp.bank ? `bank “${stamp.bank}”` : 'vectors that are in no bank');
  }
  if (stamp.radii?.length && Number.isFinite(now.radius) && !stamp.radii.some((one) => close(one, now.radius))) {
    parts.push(`R ${stamp.radii.map((one) => number(one, 4)).join(', ')}`);
  }
  if (stamp.prompt !== undefined && now.prompt !== undefined && plain(stamp.prompt) !== plain(now.prompt)) parts.push(`prompt “${line(stamp.prompt)}”`);
  if (stamp.system !== undefined && now.system !== undefined && plain(stamp.system) !== plain(now.system)) {
    parts.push(stamp.system ? `system text “${line(stamp.system)}”` : 'no system text');
  }
  if (stamp.template !== undefined && now.template !== undefined && stamp.template !== now.template) parts.push(`chat template ${stamp.template}`);
  if (stamp.scope !== undefined && now.scope !== undefined && stamp.scope !== now.scope) parts.push(`scope ${stamp.scope}`);
  if (stamp.decoding && now.decoding && decoding(stamp.decoding) !== decoding(now.decoding)) parts.push(decoding(stamp.decoding));
  return parts;
}

function paint() {
  const { stamp } = props.value || {};
  const parts = stamp ? differences(stamp, melbo.state) : [];
  element.classList.toggle('mx-stamp-shown', parts.length > 0);
  strip.hidden = !parts.length;
  const text = `Made with ${parts.join(', ')}.`;
  if (words.textContent !== text) words.textContent = text;
}

restore.addEventListener('click', () => trigger('restore', { stamp: props.value.stamp }));
again.addEventListener('click', () => document.getElementById(props.value.start)?.click());
melbo.subscribe(element, paint);
show(paint);
