// Lists the snapshots of a repository that this process has open already, and prints the figures of that alone:
// `list-again.ts LOCATION PASSWORD-FILE`.

import { readFileSync } from 'node:fs';
import { Secret } from '../../packages/base/src/index.ts';
import { openRepository } from '../../packages/repository/src/index.ts';
import { openStorage } from '../../packages/storage/src/index.ts';
import type { Figures } from './measure.ts';

const [location = '', passwordFile = ''] = process.argv.slice(2);
const storage = openStorage(location);
const password = new Secret(readFileSync(passwordFile, 'utf8').trim());
await using repository = await openRepository({ storage, password });
await repository.listSnapshots();
const cpuBefore = process.cpuUsage();
const startedAt = performance.now();
await repository.listSnapshots();
const wallSeconds = (performance.now() - startedAt) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
const peakMegabytes = process.resourceUsage().maxRSS / 1024;
const figures: Figures = { wallSeconds, cpuSeconds: (user + system) / 1e6, peakMegabytes };
console.log(JSON.stringify(figures));
await storage.close();
