// Drives the Message Batches API through the TypeScript SDK and prints what it saw as JSON.
// Usage: node batches.mjs BASE_URL

import Anthropic from '@anthropic-ai/sdk';

const client = new Anthropic({ baseURL: process.argv[2], apiKey: 'sk-ant-emulator', maxRetries: 0 });
const batches = client.messages.batches;

const requests = (count) =>
  Array.from({ length: count }, (_, number) => ({
    custom_id: `row-${number}`,
    params: {
      model: 'claude-haiku-5-5',
      max_tokens: 64,
      messages: [{ role: 'user', content: `Text ${number} is good.` }],
    },
  }));

const ended = async (id) => {
  for (;;) {
    const batch = await batches.retrieve(id);
    if (batch.processing_status === 'ended') return batch;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

const created = [];
for (let number = 0; number < 5; number++) created.push((await batches.create({ requests: requests(3) })).id);

const listed = [];
for await (const batch of batches.list({ limit: 2 })) listed.push(batch.id);

const retrieved = await ended(created[0]);
const results = [];
for await (const line of await batches.results(created[0])) results.push(line);

const deleted = await batches.delete(created[0]);
const gone = await batches.retrieve(created[0]).then(
  () => null,
  (error) => ({ status: error.status, name: error.constructor.name, type: error.error.error.type }),
);
const refused = await batches.create({ requests: [{ ...requests(1)[0], custom_id: 'a b' }] }).then(
  () => null,
  (error) => ({ status: error.status, name: error.constructor.name, message: error.error.error.message }),
);

await fetch(`${process.argv[2]}/_emulator/settings`, { method: 'PATCH', body: '{"seconds_per_batch":3600}' });
const slow = await batches.create({ requests: requests(2) });
const canceling = await batches.cancel(slow.id);
const canceled = await ended(slow.id);

console.log(
  JSON.stringify({ created, listed, retrieved, results, deleted, gone, refused, canceling, canceled }),
);
