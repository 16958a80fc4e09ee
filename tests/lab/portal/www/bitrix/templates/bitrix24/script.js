// Stand-in of the vendor's portal: live updates through the push server, and the messenger.
'use strict';
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const pull = read('pull-config'), page = read('page-config');
  const handlers = {};
  window.portal = { pull, page, state: 'off', on: (command, f) => { handlers[command] = f; } };

  // A frame holds one or more JSON messages, bare or between the server's marks.
  const messages = (frame) => {
    const marked = [...String(frame).matchAll(/#!NGINXNMS!#([\s\S]*?)#!NGINXNME!#/g)].map((m) => m[1]);
    return (marked.length ? marked : [frame]).map((text) => { try { return JSON.parse(text); } catch { return null; } }).filter(Boolean);
  };
  const receive = (frame) => messages(frame).forEach((m) => {
    const body = typeof m.text === 'string' ? JSON.parse(m.text) : (m.text || m);
    const handler = handlers[`${body.module_id}.${body.command}`];
    if (handler) handler(body.params);
  });
  const state = (value) => { window.portal.state = value; document.body.dataset.pull = value; };
  let wait = 1000;
  const connect = () => {
    state('connecting');
    const socket = new WebSocket(`${pull.websocket}?CHANNEL_ID=${encodeURIComponent(pull.channel)}&binaryMode=false`);
    socket.onopen = () => { wait = 1000; state('online'); };
    socket.onmessage = (event) => receive(event.data);
    socket.onclose = (event) => { state('offline'); document.body.dataset.pullCode = event.code; setTimeout(connect, wait); wait = Math.min(wait * 2, 30000); };
  };
  state('off');
  if (pull.server_enabled && pull.websocket_enabled) { try { connect(); } catch { state('offline'); } }

  const card = document.getElementById('call-card');
  handlers['voximplant.showExternalCall'] = (p) => {
    const target = p.crmEntityType ? `/crm/${p.crmEntityType.toLowerCase()}/details/${p.crmEntityId}/` : '#';
    card.innerHTML = 'Call: <a id="call-card-link"></a>';
    const link = document.getElementById('call-card-link');
    link.href = target; link.textContent = p.phoneNumber; card.dataset.callId = p.callId; card.hidden = false;
  };
  handlers['voximplant.hideExternalCall'] = () => { card.hidden = true; };
  document.querySelectorAll('.call-start').forEach((button) => button.addEventListener('click', async () => {
    const data = new FormData();
    data.append('sessid', page.sessid); ['phone', 'type', 'id'].forEach((name) => data.append(name, button.dataset[name]));
    const answer = await (await fetch('/bitrix/services/main/ajax.php?action=voximplant.call.start', { method: 'POST', body: data })).json();
    button.dataset.result = answer.status; if (answer.status !== 'success') button.title = answer.errors[0].message;
  }));
  handlers['im.notify'] = (p) => {
    const list = document.getElementById('notifications');
    if (list) { const item = document.createElement('li'); item.className = 'notification'; item.innerHTML = p.html; list.prepend(item); }
  };

  const im = document.getElementById('im');
  if (!im) return;
  const chat = Number(im.dataset.chatId), box = document.getElementById('im-messages'), form = document.getElementById('im-form'), error = document.getElementById('im-error');
  const show = (m) => {
    if (document.querySelector(`.im-message[data-id="${m.id}"]`)) return;
    const row = document.createElement('div'), who = document.createElement('b'), text = document.createElement('span');
    row.className = 'im-message'; row.dataset.id = m.id; who.textContent = m.author; text.className = 'im-text'; text.textContent = m.text;
    row.append(who, text);
    m.files.forEach((f) => { const a = document.createElement('a'); a.className = 'im-file'; a.href = f.url; a.textContent = f.name; row.append(a); });
    box.append(row); box.scrollTop = box.scrollHeight;
  };
  box.scrollTop = box.scrollHeight;
  handlers['im.message'] = (p) => { if (p.chatId === chat) show(p.message); };
  const send = async (action, data) => {
    data.append('sessid', page.sessid); data.append('chat', chat);
    const answer = await (await fetch(`/bitrix/services/main/ajax.php?action=${action}`, { method: 'POST', body: data })).json();
    error.textContent = answer.status === 'success' ? '' : answer.errors[0].message;
    if (answer.status === 'success') show(answer.data.message);
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const data = new FormData(), text = document.getElementById('im-text');
    if (text.value.trim() === '') return;
    data.append('text', text.value); text.value = '';
    send('im.message.send', data);
  });
  const attach = document.getElementById('im-attach'), file = document.getElementById('im-file-input');
  if (attach) {
    attach.addEventListener('click', () => file.click());
    file.addEventListener('change', () => { const data = new FormData(); data.append('file', file.files[0]); file.value = ''; send('im.file.send', data); });
  }
})();
