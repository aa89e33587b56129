// Captures as capture.ts does, and is gone like by SIGKILL at one state of its work: before or after a call to the system that a
// state ends with. Arguments: data directory, state (capture-states.ts), after how many such calls.

import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { Socket } from 'node:net';
import { StatementSync } from 'node:sqlite';
import type { CaptureState } from './capture-states.ts';

const [, state = '', times = '1'] = process.argv.slice(2);
let left = Number(times);

function pass(reached: CaptureState): void {
  if (reached !== state || --left > 0) return;
  process.kill(process.pid, 'SIGKILL');
  // Nothing more happens here until the signal arrives.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/** Which kind of file a call is about; undefined for those that are no step of a capture. */
function kindOf(path: string): 'pack' | 'index' | 'snapshot' | 'segment' | undefined {
  const kind = /\/repository\/(data|index|snapshots)\//.exec(path)?.[1];
  if (kind !== undefined) return kind === 'data' ? 'pack' : kind === 'index' ? 'index' : 'snapshot';
  return /\/wal\/.*\/[0-9A-F]{24}$/.test(path) ? 'segment' : undefined;
}

const { link, rename, rm, unlink } = promises;
promises.link = async (from, to) => {
  const kind = kindOf(String(to));
  if (kind === 'snapshot') pass('snapshot-ready');
  await link(from, to);
  if (kind === 'pack') pass('pack-stored');
  if (kind === 'index') pass('index-stored');
  if (kind === 'snapshot') pass('snapshot-stored');
};
promises.unlink = async (path) => {
  await unlink(path);
  if (kindOf(String(path)) === 'snapshot' && !String(path).includes('-tmp-')) pass('replaced-removed');
};
promises.rename = async (from, to) => {
  const isFinish = kindOf(String(to)) === 'segment';
  if (isFinish) pass('segment-whole');
  await rename(from, to);
  if (isFinish) pass('segment-finished');
};
promises.rm = async (path, options) => {
  const isRelease = kindOf(String(path)) === 'segment';
  if (isRelease) pass('release-due');
  await rm(path, options);
  if (isRelease) pass('segment-released');
};
syncBuiltinESMExports();

// Only a spool's segments are made durable by fdatasync.
const handle = await promises.open('/dev/null');
const files = Object.getPrototypeOf(handle) as { datasync(): Promise<void> };
await handle.close();
const { datasync } = files;
files.datasync = async function (this: unknown) {
  pass('spool-written');
  await datasync.call(this);
  pass('spool-durable');
};

const { write } = Socket.prototype;
Socket.prototype.write = function (this: Socket, ...parameters: Parameters<Socket['write']>) {
  const [bytes] = parameters;
  const isWhole = Reflect.apply(write, this, parameters);
  // A status update: CopyData with the message 'r'.
  if (bytes instanceof Uint8Array && bytes[0] === 0x64 && bytes[5] === 0x72) pass('acknowledged');
  return isWhole;
} as Socket['write'];

const { run } = StatementSync.prototype;
StatementSync.prototype.run = function (this: StatementSync, ...parameters: Parameters<StatementSync['run']>) {
  const outcome = Reflect.apply(run, this, parameters);
  if (this.sourceSQL.includes('wal_captures')) pass('catalogue-written');
  return outcome;
} as StatementSync['run'];

await import('./capture.ts');
