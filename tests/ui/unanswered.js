// Runs in the page before its own scripts. Gradio's own bookkeeping cannot be read, so what the page asked and the
// program has not answered yet is counted here.
(() => {
  const send = window.fetch;
  const answered = new Set();
  const open = new Set();
  let joining = 0;

  async function listen(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines.filter((one) => one.startsWith('data:'))) {
        const { msg, event_id } = JSON.parse(line.slice(5));
        if (msg !== 'process_completed') continue;
        answered.add(event_id);
        open.delete(event_id);
      }
    }
  }

  window.fetch = async (...request) => {
    const url = String(request[0]?.url ?? request[0]);
    if (url.includes('/queue/data')) {
      const response = await send(...request);
      listen(response.clone()).catch(() => {}); // the page was left
      return response;
    }
    if (!url.includes('/queue/join')) return send(...request);
    joining += 1;
    try {
      const response = await send(...request);
      const { event_id } = await response.clone().json();
      if (event_id && !answered.has(event_id)) open.add(event_id);
      return response;
    } finally {
      joining -= 1;
    }
  };
  window.unanswered = () => joining + open.size;
})();
