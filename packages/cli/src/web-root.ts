// Where `npm run build:web` puts the UI.

import { fileURLToPath } from 'node:url';

export const webRoot = fileURLToPath(new URL('../../web/dist', import.meta.url));
