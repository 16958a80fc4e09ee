'use strict';

const net = require('net');

const RETRY_MS = 500;

/** Reads one RESP value at `at`: [value, next position], or null while it is not whole. */
function parse(buffer, at) {
  const end = buffer.indexOf('\r\n', at);
  if (end < 0) return null;
  const line = buffer.toString('utf8', at + 1, end);
  const next = end + 2;
  switch (buffer[at]) {
    case 0x2b: // +
      return [line, next];
    case 0x2d: // -
      return [new Error(line), next];
    case 0x3a: // :
      return [Number(line), next];
    case 0x24: { // $
      const size = Number(line);
      if (size < 0) return [null, next];
      if (buffer.length < next + size + 2) return null;
      return [buffer.toString('utf8', next, next + size), next + size + 2];
    }
    case 0x2a: { // *
      const items = [];
      let position = next;
      for (let left = Number(line); left > 0; left -= 1) {
        const item = parse(buffer, position);
        if (!item) return null;
        items.push(item[0]);
        [, position] = item;
      }
      return [items, position];
    }
    default:
      throw new Error(`Redis sent a value of unknown type ${buffer[at]}`);
  }
}

function encode(words) {
  return words.reduce((text, word) => `${text}$${Buffer.byteLength(String(word))}\r\n${word}\r\n`, `*${words.length}\r\n`);
}

/**
 * A connection to Redis that comes back by itself: commands fail while it is away, subscriptions are made again.
 * Loading a full client takes longer than the whole rest of the server, and this needs nine commands.
 */
class Redis {
  constructor({ socket, host, port, password }) {
    this.target = socket ? { path: socket } : { host, port };
    this.password = password;
    this.waiting = [];
    this.handlers = new Map();
    this.ready = false;
    this.told = false;
    this.open();
  }

  open() {
    let rest = Buffer.alloc(0);
    this.stream = net.connect(this.target);
    this.stream.setNoDelay(true);
    this.stream.on('connect', () => {
      this.ready = true;
      this.told = false;
      if (this.password) this.send(['AUTH', this.password]).catch((error) => this.complain(error));
      for (const channel of this.handlers.keys()) this.send(['SUBSCRIBE', channel]).catch(() => {});
    });
    this.stream.on('data', (chunk) => {
      rest = rest.length ? Buffer.concat([rest, chunk]) : chunk;
      let at = 0;
      for (let found = parse(rest, at); found; found = at < rest.length ? parse(rest, at) : null) {
        [, at] = found;
        this.receive(found[0]);
      }
      rest = rest.subarray(at);
    });
    this.stream.on('error', (error) => this.complain(error));
    this.stream.on('close', () => {
      this.ready = false;
      const lost = this.waiting.splice(0);
      lost.forEach(({ reject }) => reject(new Error('the connection to Redis was lost')));
      setTimeout(() => this.open(), RETRY_MS);
    });
  }

  complain(error) {
    if (!this.told) console.error(`redis: ${error.message}`);
    this.told = true;
  }

  receive(value) {
    if (Array.isArray(value) && value[0] === 'message') {
      const handler = this.handlers.get(value[1]);
      if (handler) handler(value[2]);
      return;
    }
    const { resolve, reject } = this.waiting.shift();
    if (value instanceof Error) reject(value);
    else resolve(value);
  }

  /** The answer to one command. */
  send(words) {
    if (!this.ready) return Promise.reject(new Error('Redis is not there'));
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.stream.write(encode(words));
    });
  }

  /** Calls `handler(text)` for what is published to `channel`, from when the promise is kept. */
  async subscribe(channel, handler) {
    this.handlers.set(channel, handler);
    try {
      await this.send(['SUBSCRIBE', channel]);
    } catch (error) {
      this.handlers.delete(channel);
      throw error;
    }
  }

  async unsubscribe(channel) {
    this.handlers.delete(channel);
    await this.send(['UNSUBSCRIBE', channel]);
  }
}

module.exports = { Redis };
