// Stand-in of the vendor's push & pull server: same configuration, ports, paths and channel signature.
'use strict';

const http = require('http');
const { load } = require('./lib/config');
const { Storage } = require('./lib/storage');
const { publisher } = require('./lib/publisher');
const { subscriber } = require('./lib/subscriber');

/** The value of `--config`, as the vendor's units pass it. */
function configPath(args) {
  const at = args.indexOf('--config');
  if (at < 0 || !args[at + 1]) throw new Error('usage: node server.js --config FILE.json');
  return args[at + 1];
}

/** What `/server-stat/` tells of this process. */
function statistics(config, started, role) {
  const memory = process.memoryUsage();
  return {
    processUniqueId: config.processUniqueId,
    mode: config.publishMode ? 'pub' : 'sub',
    pid: process.pid,
    uptime: Math.round((Date.now() - started) / 1000),
    memory: { rss: memory.rss, heapUsed: memory.heapUsed },
    ...role.statistics(),
  };
}

function main() {
  const config = load(configPath(process.argv.slice(2)));
  const storage = new Storage(config.storage);
  const role = (config.publishMode ? publisher : subscriber)(config, storage);
  const started = Date.now();
  const servers = config.servers.map((server) => {
    const listening = http.createServer((request, response) => {
      const url = new URL(request.url, 'http://push');
      if (url.pathname === server.routes.stat) {
        response.setHeader('Content-Type', 'application/json');
        response.end(JSON.stringify(statistics(config, started, role)));
        return;
      }
      role.request(server.routes, url, request, response).catch((error) => {
        console.error(`${request.method} ${url.pathname}: ${error.message}`);
        if (!response.headersSent) response.writeHead(503);
        response.end();
      });
    });
    listening.on('upgrade', (request, socket, head) => role.upgrade(server.routes, request, socket, head));
    listening.listen({ port: server.port, host: server.hostname, backlog: server.backlog }, () =>
      console.log(`${server.name} listens on ${server.hostname}:${server.port}`));
    return listening;
  });
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.once(signal, () => {
      role.close();
      servers.forEach((server) => server.close());
      setTimeout(() => process.exit(0), 200);
    });
  }
}

try {
  main();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
