"""Conversations; ``studies/chat.py`` continues them."""

from melbo_app.library.answers import FoundAnswer
from melbo_app.library.conversation import Conversation, ConversationSummary
from melbo_app.library.damage import Listed
from melbo_app.limits import MOST_LISTED, MOST_NAME, check_range, check_text
from melbo_app.workbench.base import Base


class Chats(Base):
    """The conversations of the library."""

    def conversations(self, limit: int = 100, who: str | None = None) -> Listed[ConversationSummary]:
        """The last changed conversations, of one person or of all, newest first."""
        check_range("limit", limit, 1, MOST_LISTED)
        return self.bench.conversations.recent(limit, who)

    def conversation(self, id: int) -> Conversation:
        """One conversation with all its branches."""
        return self.bench.conversations.get(id)

    def show_branch(self, id: int, turn: int) -> Conversation:
        """The conversation, from now on shown along the newest branch through ``turn``."""
        end = self.bench.conversations.get(id).end(turn)
        self.bench.conversations.show(id, turn if end is None else end)
        return self.bench.conversations.get(id)

    def rename_conversation(self, id: int, title: str) -> None:
        """Give a conversation another title."""
        self.bench.conversations.rename(id, title)

    def delete_conversation(self, id: int) -> None:
        """Delete a conversation with all its branches."""
        self.bench.conversations.delete(id)

    def search_conversations(self, text: str, limit: int = 50, who: str | None = None) -> Listed[FoundAnswer]:
        """The newest answers of conversations, of one person or of all, with ``text`` in them or in their message."""
        check_text("text", text, MOST_NAME)
        check_range("limit", limit, 1, MOST_LISTED)
        return self.bench.answers.search(text.strip(), limit, who)

    def fork_conversation(self, id: int, turn: int, who: str = "") -> int:
        """The number of a new conversation, of ``who``, with everything up to ``turn``."""
        return self.bench.conversations.fork(id, turn, who)

    def can_think(self, template: bool | str) -> bool:
        """Whether this template of the loaded model has a switch for thinking."""
        if not self.bench.model.state().loaded:
            return False
        from melbo_app.engine.chat_template import thinking

        return thinking(self.bench.model.get().tokenizer, template) is not None
