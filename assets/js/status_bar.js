// The header: product name, training chip, model chip, light or dark.
const bar = make('header', 'mx-header');
const title = make('h1', 'mx-title', 'MELBO Explorer');
const model = make('span', 'mx-chip');
model.id = 'model-chip';
model.setAttribute('role', 'status');
const job = make('span', 'mx-chip mx-chip-job');
job.id = 'job-chip';
job.setAttribute('role', 'status');
const fill = make('span', 'mx-chip-fill');
const jobText = make('span', 'mx-chip-text');
job.append(fill, jobText);
const theme = make('button', 'mx-icon-button', '◐');
theme.id = 'theme-toggle';
theme.type = 'button';
theme.title = 'Switch between light and dark';
theme.setAttribute('aria-label', 'Switch between light and dark');
theme.addEventListener('click', () => {
  const dark = document.body.classList.toggle('dark');
  try { localStorage.setItem('melbo-theme', dark ? 'dark' : 'light'); } catch { /* private windows may refuse */ }
});
bar.append(title, job, model, theme); // messages appear over the model's chip, at the right
root.append(bar);

show((value) => {
  model.textContent = value.model || 'no model';
  model.dataset.state = value.model_state || 'none';
  model.title = value.model_title || '';
  job.hidden = !value.job;
  job.dataset.state = value.job_state || '';
  jobText.textContent = value.job || '';
  fill.style.width = `${Math.round(100 * (value.job_fraction || 0))}%`;
});
