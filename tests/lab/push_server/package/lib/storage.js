'use strict';

const { Redis } = require('./redis');

const PREFIX = 'push-server';
const stream = (channel) => `${PREFIX}:messages:${channel}`;
const bus = (channel) => `${PREFIX}:bus:${channel}`;
const online = (channel) => `${PREFIX}:online:${channel}`;

/** Redis as the memory and the bus that all processes share. */
class Storage {
  constructor(options) {
    this.options = options;
    this.listeners = new Map();
    this.commands = new Redis(options);
    this.subscriptions = new Redis(options);
  }

  /** Stores a message for late subscribers and hands it to present ones; `ttl` is seconds. Returns its id. */
  async publish(channel, text, ttl) {
    const now = Date.now();
    const keep = Math.max(ttl, 1);
    const { messageTTL } = this.options;
    const key = stream(channel);
    const [id] = await Promise.all([
      this.commands.send(['XADD', key, 'MINID', '~', now - messageTTL * 1000, '*', 'text', text, 'expires', now + keep * 1000]),
      this.commands.send(['EXPIRE', key, Math.max(keep, messageTTL)]),
    ]);
    await this.commands.send(['PUBLISH', bus(channel), JSON.stringify({ id, text })]);
    return id;
  }

  /** The messages after `id` that have not expired, oldest first. */
  async since(channel, id) {
    const now = Date.now();
    const found = await this.commands.send(['XRANGE', stream(channel), `(${id}`, '+']);
    return found
      .map(([entry, [, text, , expires]]) => ({ id: entry, text, expires: Number(expires) }))
      .filter(({ expires }) => expires > now);
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
      entry = { calls, ready: this.subscriptions.subscribe(bus(channel), receive) };
      this.listeners.set(channel, entry);
    }
    entry.calls.add(listener);
    try {
      await entry.ready;
    } catch (error) {
      this.listeners.delete(channel);
      throw error;
    }
  }

  async unlisten(channel, listener) {
    const entry = this.listeners.get(channel);
    if (!entry || !entry.calls.delete(listener) || entry.calls.size) return;
    this.listeners.delete(channel);
    await this.subscriptions.unsubscribe(bus(channel));
  }

  /** Says how many subscribers of a channel this process has; holds for `onlineTTL` seconds. */
  async touch(channel, process, count) {
    await Promise.all([
      this.commands.send(['HSET', online(channel), process, count]),
      this.commands.send(['EXPIRE', online(channel), this.options.onlineTTL]),
    ]);
  }

  /** How many subscribers the channel has in all processes. */
  async subscribers(channel) {
    const counts = await this.commands.send(['HVALS', online(channel)]);
    return counts.reduce((sum, count) => sum + Number(count), 0);
  }

  /** How many messages wait in the channel. */
  async stored(channel) {
    return this.commands.send(['XLEN', stream(channel)]);
  }
}

module.exports = { Storage };
