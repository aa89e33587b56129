// A process of lock.test.ts that takes a lock and is killed while it holds it.

import { Secret } from '@varve/base';
import { lockRepository, openRepository } from '@varve/repository';
import { openStorage } from '@varve/storage';

const { REPOSITORY = '', PASSWORD = '', OWNER } = process.env;
const repository = await openRepository({ storage: openStorage(REPOSITORY), password: new Secret(PASSWORD) });
await lockRepository(repository, { exclusive: true, ownerId: OWNER });
process.send?.('locked');
setInterval(() => {}, 1000);
