// Ctrl+Enter steers from every room but Label, which saves; the last chosen theme is restored.
() => {
  try {
    const theme = localStorage.getItem('melbo-theme');
    if (theme) document.body.classList.toggle('dark', theme === 'dark');
  } catch { /* private windows may refuse */ }
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || event.defaultPrevented) return;
    const label = melbo.state.room === 'label';
    const button = document.querySelector(label ? '#label-save' : '#steer-button');
    if (!button) return;
    event.preventDefault();
    const field = event.target;
    field.blur?.(); // a field hands over its value when it is left
    if (!label && melbo.state.room !== 'read') melbo.go('read', 'completions');
    button.click();
    field.focus?.({ preventScroll: true });
  });
}
