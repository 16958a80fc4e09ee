'use strict';

const { parse } = require('./channels');

/** Reads a body of at most `limit` bytes; undefined when it is longer. */
async function body(request, limit) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
  }
  return size <= limit ? Buffer.concat(chunks).toString('utf8') : undefined;
}

function answer(response, status, value) {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(value));
}

/**
 * The process that takes messages. `pub` is for the portal alone, inside the host: ids may go unsigned there.
 * `rest` is reached by browsers, and takes only signed public channels.
 */
function publisher(config, storage) {
  const { limits } = config;
  let published = 0;
  let refused = 0;

  function refuse(response, status, message) {
    refused += 1;
    answer(response, status, { error: message });
  }

  async function status(channels, response) {
    const infos = [];
    for (const channel of channels) {
      infos.push({
        channel,
        stored_messages: await storage.stored(channel),
        subscribers: await storage.subscribers(channel),
      });
    }
    answer(response, 200, { infos });
  }

  async function publish(channels, request, response) {
    const text = await body(request, limits.maxPayload);
    if (text === undefined) return refuse(response, 413, `The message is over ${limits.maxPayload} bytes`);
    const asked = Number.parseInt(request.headers['message-expiry'], 10);
    const ttl = Number.isFinite(asked) ? Math.min(asked, config.storage.messageTTL) : config.storage.messageTTL;
    const infos = [];
    for (const channel of channels) {
      const id = await storage.publish(channel, text, ttl);
      published += 1;
      infos.push({ channel, id, subscribers: await storage.subscribers(channel) });
    }
    return answer(response, 200, { infos });
  }

  return {
    async request(routes, url, request, response) {
      const inside = url.pathname === routes.pub;
      if (!inside && url.pathname !== routes.rest) return refuse(response, 404, 'Not found');
      const options = inside ? { kinds: [false, true], unsigned: true } : { kinds: [true] };
      const channels = parse(url.searchParams.get('CHANNEL_ID'), config.security.key, options);
      if (!channels) return refuse(response, 403, 'Wrong Channel Id');
      if (channels.length > limits.maxChannelsPerRequest) return refuse(response, 400, 'Too many channels');
      if (request.method === 'GET' && inside) return status(channels, response);
      if (request.method === 'POST') return publish(channels, request, response);
      return refuse(response, 405, 'Use POST');
    },
    upgrade(routes, request, socket) {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
    },
    statistics: () => ({ published, refused }),
    close() {},
  };
}

module.exports = { publisher };
