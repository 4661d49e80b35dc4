/**
 * A mail server on loopback that delivers nothing: `node mail-catcher.mjs DIR PORT` keeps each mail as a file DIR/<n>.eml, in
 * the order in which they came, and says `ready` once it listens.
 */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SMTPServer } from 'smtp-server';

const [directory = '.', port = '0'] = process.argv.slice(2);
let mails = 0;

const server = new SMTPServer({
  authOptional: true,
  disabledCommands: ['STARTTLS', 'AUTH'],
  disableReverseLookup: true,
  onData(stream, _session, callback) {
    const chunks = [];
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => {
      mails += 1;
      const file = join(directory, `${String(mails).padStart(3, '0')}.eml`);
      // Whoever looks for mails sees whole ones.
      writeFile(`${file}.part`, Buffer.concat(chunks))
        .then(() => rename(`${file}.part`, file))
        .then(() => callback(null, 'kept'), callback);
    });
  },
});
server.on('error', (error) => {
  console.error(`the mail catcher: ${error.message}`);
  if (!server.server.listening) process.exit(1);
});
server.listen(Number(port), '127.0.0.1', () => console.log('ready'));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
