// How fast the WAL reader scans: node scripts/wal-scan.ts SEGMENT…, with contiguous segments of a busy server. Files are in memory
// before the clock runs; ten rounds, the best and the median, in time of the processor, which a busy machine does not change much.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { readWalFileHeader, WalReader } from '../packages/postgres/src/index.ts';

const pieceBytes = 1024 * 1024;
const rounds = 10;

const files = process.argv.slice(2).sort((a, b) => (basename(a) < basename(b) ? -1 : 1));
const bytes = Buffer.concat(files.map((path) => readFileSync(path)));
const header = readWalFileHeader(bytes);
if (!header) throw new Error('Name contiguous WAL segments.');

const rates: number[] = [];
for (let round = 0; round < rounds; round++) {
  const reader = new WalReader({ lsn: header.startLsn });
  let events = 0;
  const begin = process.cpuUsage();
  for (let at = 0; at < bytes.length && reader.end === undefined; at += pieceBytes) {
    events += reader.push(bytes.subarray(at, at + pieceBytes)).length;
  }
  const used = process.cpuUsage(begin);
  const seconds = (used.user + used.system) / 1e6;
  const readBytes = Number(reader.nextLsn - header.startLsn);
  rates.push(readBytes / seconds / 1e6);
  if (round === 0) {
    const size = (readBytes / reader.recordCount).toFixed(0);
    console.log(`${(readBytes / 1e6).toFixed(0)} MB, ${reader.recordCount} records of ${size} bytes, ${events} events`);
  }
}
rates.sort((a, b) => b - a);
console.log(`best ${rates[0]?.toFixed(0)} MB/s, median ${rates[Math.floor(rounds / 2)]?.toFixed(0)} MB/s`);
