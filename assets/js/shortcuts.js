// Ctrl+Enter saves a label or steers; the last chosen theme is restored.
() => {
  try {
    const theme = localStorage.getItem('melbo-theme');
    if (theme) document.body.classList.toggle('dark', theme === 'dark');
  } catch { /* private windows may refuse */ }
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    const where = event.target.closest?.('#label-form') ? '#label-save' : '#steer-button';
    const button = document.querySelector(where);
    if (!button) return;
    event.preventDefault();
    event.target.blur?.();
    button.click();
  });
}
