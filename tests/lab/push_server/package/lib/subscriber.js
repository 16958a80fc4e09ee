'use strict';

const { WebSocketServer } = require('ws');
const { frame, parse } = require('./channels');

const WRONG_CHANNEL = { code: 4010, reason: 'Wrong Channel Id' };
const POLL_MS = 40000;
const PING_MS = 25000;

/** The process that browsers listen to, by WebSocket or by long polling. */
function subscriber(config, storage) {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: config.limits.maxPayload });
  const counts = new Map();
  let delivered = 0;

  function count(channel, by) {
    const now = (counts.get(channel) || 0) + by;
    if (now > 0) counts.set(channel, now);
    else counts.delete(channel);
    storage.touch(channel, config.processUniqueId, now).catch(() => {});
  }

  const refresh = setInterval(() => {
    for (const [channel, number] of counts) storage.touch(channel, config.processUniqueId, number).catch(() => {});
  }, Math.max(config.storage.onlineTTL - config.storage.onlineDelta, 1) * 1000);
  const ping = setInterval(() => sockets.clients.forEach((socket) => socket.ping()), PING_MS);

  function message(channel, { id, text }) {
    let content = text;
    try {
      content = JSON.parse(text);
    } catch (error) {
      // Not JSON: the text goes as it is.
    }
    return frame({ id, mid: id, channel, time: new Date(Number(id.split('-')[0])).toUTCString(), tag: '1', text: content });
  }

  /** Sends what was missed since `mid`, then what comes; returns the function that ends it. */
  async function follow(channels, mid, send) {
    const ends = [];
    for (const channel of channels) {
      let last = '';
      const early = [];
      let ready = false;
      const deliver = (item) => {
        if (!ready) {
          early.push(item);
        } else if (item.id !== last) {
          delivered += 1;
          send(message(channel, item));
        }
      };
      await storage.listen(channel, deliver);
      count(channel, 1);
      ends.push(() => {
        storage.unlisten(channel, deliver).catch(() => {});
        count(channel, -1);
      });
      const missed = mid ? await storage.since(channel, mid) : [];
      const seen = new Set();
      for (const item of [...missed, ...early]) {
        if (!seen.has(item.id)) {
          seen.add(item.id);
          delivered += 1;
          send(message(channel, item));
          last = item.id;
        }
      }
      ready = true;
    }
    return () => ends.splice(0).forEach((end) => end());
  }

  const channelsOf = (url) =>
    parse(url.searchParams.get('CHANNEL_ID'), config.security.key, { kinds: [false, true] });
  const midOf = (url) => (/^\d+-\d+$/.test(url.searchParams.get('mid') || '') ? url.searchParams.get('mid') : '');

  return {
    upgrade(routes, request, socket, head) {
      const url = new URL(request.url, 'http://push');
      if (url.pathname !== routes.sub) {
        socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
        return;
      }
      sockets.handleUpgrade(request, socket, head, (client) => {
        const channels = channelsOf(url);
        if (!channels || channels.some((name) => (counts.get(name) || 0) >= config.limits.maxConnPerChannel)) {
          client.close(WRONG_CHANNEL.code, WRONG_CHANNEL.reason);
          return;
        }
        client.on('error', () => client.terminate());
        const following = follow(channels, midOf(url), (text) => client.send(text));
        following.catch((error) => {
          console.error(`subscribe: ${error.message}`);
          client.close(1011, 'Storage is not there');
        });
        client.on('close', () => following.then((end) => end(), () => {}));
      });
    },

    async request(routes, url, request, response) {
      if (url.pathname !== routes.sub) {
        response.writeHead(404);
        response.end();
        return;
      }
      const channels = channelsOf(url);
      if (!channels) {
        response.writeHead(403, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify({ error: WRONG_CHANNEL.reason, code: WRONG_CHANNEL.code }));
        return;
      }
      const texts = [];
      let finish;
      const done = new Promise((resolve) => { finish = resolve; });
      const end = await follow(channels, midOf(url), (text) => {
        texts.push(text);
        setImmediate(finish);
      });
      const timer = setTimeout(finish, POLL_MS);
      response.on('close', finish);
      await done;
      clearTimeout(timer);
      end();
      response.writeHead(texts.length ? 200 : 304, { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-store' });
      response.end(texts.join(''));
    },

    statistics: () => ({
      connections: sockets.clients.size,
      channels: counts.size,
      delivered,
    }),

    close() {
      clearInterval(refresh);
      clearInterval(ping);
      sockets.clients.forEach((client) => client.close(1001, 'Going away'));
    },
  };
}

module.exports = { subscriber };
