'use strict';

const { createClient } = require('redis');

const PREFIX = 'push-server';
const stream = (channel) => `${PREFIX}:messages:${channel}`;
const bus = (channel) => `${PREFIX}:bus:${channel}`;
const online = (channel) => `${PREFIX}:online:${channel}`;

/** Redis as the memory and the bus that all processes share. Reconnects by itself; errors are logged once per loss. */
class Storage {
  constructor(options) {
    this.options = options;
    this.listeners = new Map();
    const socket = options.socket ? { path: options.socket } : { host: options.host, port: options.port };
    socket.reconnectStrategy = (retries) => Math.min(100 * (retries + 1), 2000);
    this.commands = createClient({ socket, password: options.password || undefined, disableOfflineQueue: true });
    this.subscriptions = this.commands.duplicate({ disableOfflineQueue: false });
    for (const client of [this.commands, this.subscriptions]) {
      let told = false;
      client.on('error', (error) => {
        if (!told) console.error(`redis: ${error.message}`);
        told = true;
      });
      client.on('ready', () => { told = false; });
    }
  }

  async connect() {
    await Promise.all([this.commands.connect(), this.subscriptions.connect()]);
  }

  /** Stores a message for late subscribers and hands it to present ones; `ttl` is seconds. Returns its id. */
  async publish(channel, text, ttl) {
    const now = Date.now();
    const keep = Math.max(ttl, 1);
    const id = await this.commands.xAdd(stream(channel), '*', { text, expires: String(now + keep * 1000) }, {
      TRIM: { strategy: 'MINID', strategyModifier: '~', threshold: String(now - this.options.messageTTL * 1000) },
    });
    await this.commands.expire(stream(channel), Math.max(keep, this.options.messageTTL));
    await this.commands.publish(bus(channel), JSON.stringify({ id, text }));
    return id;
  }

  /** The messages after `id` that have not expired, oldest first. */
  async since(channel, id) {
    const now = Date.now();
    const found = await this.commands.xRange(stream(channel), `(${id}`, '+');
    return found
      .filter((entry) => Number(entry.message.expires) > now)
      .map((entry) => ({ id: entry.id, text: entry.message.text }));
  }

  /** Calls `listener({id, text})` for every message of a channel from now on. */
  async listen(channel, listener) {
    let entry = this.listeners.get(channel);
    if (!entry) {
      const calls = new Set();
      const receive = (raw) => {
        const message = JSON.parse(raw);
        for (const call of [...calls]) call(message);
      };
      entry = { calls, receive, ready: this.subscriptions.subscribe(bus(channel), receive) };
      this.listeners.set(channel, entry);
    }
    entry.calls.add(listener);
    await entry.ready;
  }

  async unlisten(channel, listener) {
    const entry = this.listeners.get(channel);
    if (!entry || !entry.calls.delete(listener) || entry.calls.size) return;
    this.listeners.delete(channel);
    await this.subscriptions.unsubscribe(bus(channel), entry.receive);
  }

  /** Marks a channel as having a subscriber in this process for `onlineTTL` seconds. */
  async touch(channel, process, count) {
    await this.commands.hSet(online(channel), process, String(count));
    await this.commands.expire(online(channel), this.options.onlineTTL);
  }

  /** How many subscribers the channel has in all processes. */
  async subscribers(channel) {
    const counts = await this.commands.hVals(online(channel));
    return counts.reduce((sum, count) => sum + Number(count), 0);
  }

  async stored(channel) {
    return this.commands.xLen(stream(channel));
  }
}

module.exports = { Storage };
