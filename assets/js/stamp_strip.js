// Names what made a result where that differs from the context line, and offers to restore it or to run again.
function stampStrip(start, { root, props, trigger, show }) {
  const strip = make('div', 'mx-stamp');
  strip.setAttribute('role', 'status');
  const words = make('span', 'mx-stamp-words');
  const restore = make('button', 'mx-link', 'Restore those');
  const again = make('button', 'mx-link', 'Run with the current ones');
  restore.type = again.type = 'button';
  restore.title = 'Put the prompt, bank, R and decoding of this result into the context line';
  again.title = 'Make this result anew with what the context line shows';
  strip.append(words, restore, again);
  root.before(strip);
  const close = (one, other) => Math.abs(one - other) <= 0.005 * Math.max(Math.abs(one), Math.abs(other));
  const plain = (text) => (text ?? '').replace(/\r\n?/g, '\n').trim();

  function line(text) {
    const flat = text.replace(/\s+/g, ' ').trim();
    return flat.length > 60 ? `${flat.slice(0, 59)}…` : flat;
  }

  function decoding({ max_new_tokens: tokens, temperature, top_p: p, seed }) {
    return temperature ? `${tokens} tokens sampled at temperature ${number(temperature)}, top-p ${number(p)}, seed ${seed}` : `${tokens} tokens, greedy`;
  }

  function bank(stamp, now) {
    if (!stamp.bank) return stamp.made_by || 'vectors that are in no bank';
    return stamp.bank === now.bank ? `an earlier bank “${stamp.bank}”` : `bank “${stamp.bank}”`;
  }

  function differences(stamp, now) {
    const parts = [];
    const differs = (key, than = key) => stamp[key] !== undefined && now[than] !== undefined && plain(stamp[key]) !== plain(now[than]);
    if (stamp.model_hash && now.model && stamp.model_hash !== now.model) parts.push(`model ${stamp.model || 'of another name'}`);
    if (stamp.bank_hash && now.bank_hash && stamp.bank_hash !== now.bank_hash) parts.push(bank(stamp, now));
    if (stamp.radii?.length && !stamp.own_norms && Number.isFinite(now.radius) && !stamp.radii.some((one) => close(one, now.radius))) {
      parts.push(`R ${stamp.radii.slice(0, 6).map((one) => number(one, 4)).join(', ')}${stamp.radii.length > 6 ? ' …' : ''}`);
    }
    const prompt = stamp.prompts?.join('\n---\n');
    if (prompt !== undefined && now.prompt !== undefined && plain(prompt) !== plain(now.prompt)) parts.push(`prompt “${line(prompt)}”`);
    if (differs('system')) parts.push(stamp.system ? `system text “${line(stamp.system)}”` : 'no system text');
    if (differs('template')) parts.push(`chat template ${stamp.template}`);
    if (differs('scope')) parts.push(`scope ${stamp.scope}`);
    if (stamp.decoding && now.decoding && decoding(stamp.decoding) !== decoding(now.decoding)) parts.push(decoding(stamp.decoding));
    return parts;
  }

  function paint() {
    const { stamp, live: writing } = props.value || {};
    const parts = stamp && !writing ? differences(stamp, melbo.state) : [];
    strip.hidden = !parts.length;
    const text = `Made with ${parts.join(', ')}.`;
    if (words.textContent !== text) words.textContent = text;
  }

  restore.addEventListener('click', () => trigger('restore', { stamp: props.value.stamp }));
  again.addEventListener('click', () => document.getElementById(start)?.click());
  melbo.subscribe(strip, paint);
  show(paint);
}
