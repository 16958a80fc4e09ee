'use strict';

const crypto = require('crypto');

/** The signature of a channel: HMAC-SHA1 over its id; public channels sign `public:` and the id. */
function sign(key, id, isPublic = false) {
  return crypto.createHmac('sha1', key).update(isPublic ? `public:${id}` : id).digest('hex');
}

function same(one, other) {
  return one.length === other.length && crypto.timingSafeEqual(Buffer.from(one), Buffer.from(other));
}

/**
 * The channels of a CHANNEL_ID parameter, `<id>.<signature>` joined by `/`; null when it has none or a signature is wrong.
 * `kinds` says which signatures count; `unsigned` lets ids without any pass, as inside the host.
 */
function parse(text, key, { kinds = [false], unsigned = false } = {}) {
  const ids = [];
  for (const part of (text || '').split('/').filter(Boolean)) {
    const dot = part.lastIndexOf('.');
    if (dot < 0) {
      if (!unsigned) return null;
      ids.push(part);
      continue;
    }
    const id = part.slice(0, dot);
    if (!id || !kinds.some((isPublic) => same(part.slice(dot + 1), sign(key, id, isPublic)))) return null;
    ids.push(id);
  }
  return ids.length ? ids : null;
}

/** A message as subscribers get it. */
function frame(message) {
  return `#!NGINXNMS!#${JSON.stringify(message)}#!NGINXNME!#`;
}

module.exports = { frame, parse, sign };
