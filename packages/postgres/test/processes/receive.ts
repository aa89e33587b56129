// A receiver as a process of its own, to be killed: `node receive.ts PORT USER FOLDER SLOT`, the password in PGPASSWORD.

import { Secret } from '@varve/base';
import { receiveWal, WalSpool } from '../../src/index.ts';

const [port, user = '', folder = '', slot = ''] = process.argv.slice(2);
const spool = await WalSpool.open({ folder, syncIntervalMs: 10 });
await receiveWal({
  location: () => ({
    host: '127.0.0.1',
    port: Number(port),
    user,
    password: new Secret(process.env['PGPASSWORD'] ?? ''),
    database: 'postgres',
    tls: 'disable',
  }),
  spool,
  slot,
  createSlot: true,
  firstDelayMs: 20,
  maxDelayMs: 50,
  onEvent: ({ kind }) => {
    if (kind === 'gap') process.exitCode = 9;
    process.stdout.write(`${kind}\n`);
  },
});
