'use strict';

const fs = require('fs');

const STORAGE = { type: 'redis', messageTTL: 86400, channelTTL: 86400, onlineTTL: 120, onlineDelta: 10 };
// Of the vendor's limits, those that the stand-in keeps.
const LIMITS = { maxPayload: 1048576, maxConnPerChannel: 100, maxChannelsPerRequest: 100 };

/**
 * Reads one process's configuration. Times are seconds, `maxPayload` is bytes.
 * The vendor spells the keys messageTLL, channelTLL and onlineTLL: both spellings are read.
 */
function load(path) {
  let given;
  try {
    given = JSON.parse(fs.readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path}: ${error.message}`);
  }
  const config = { publishMode: false, processUniqueId: path, ...given };
  if (!Array.isArray(config.servers) || !config.servers.length) throw new Error(`${path}: no servers`);
  if (!config.security || !config.security.key) throw new Error(`${path}: security.key is empty`);
  config.servers = config.servers.map((server) => ({ hostname: '127.0.0.1', backlog: 1024, ...server }));
  for (const server of config.servers) {
    const needed = config.publishMode ? 'pub' : 'sub';
    if (!server.port || !server.routes || !server.routes[needed]) {
      throw new Error(`${path}: a server needs a port and the route "${needed}"`);
    }
  }
  const storage = given.storage || {};
  config.storage = { ...STORAGE, ...storage };
  for (const name of ['message', 'channel', 'online']) {
    if (`${name}TLL` in storage) config.storage[`${name}TTL`] = storage[`${name}TLL`];
  }
  config.limits = { ...LIMITS, ...given.limits };
  return config;
}

module.exports = { load };
